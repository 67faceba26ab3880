//! The verifiable random function of [RFC 9381](https://www.rfc-editor.org/rfc/rfc9381), suite
//! ECVRF-EDWARDS25519-SHA512-TAI, and the chained randomness made from it.
//!
//! The proposer of a block proves one output for the randomness of the block before; it cannot choose
//! it, only withhold the block. `R_h = blake3("valo/randomness/1" || R_(h-1) || output_h)`.

use crate::{
    domain,
    encoding::invalid,
    hash::Hash,
    keys::{PublicKey, SecretKey},
    time::Height,
};
use borsh::{BorshDeserialize, BorshSerialize, io};
use std::fmt;
use vrf_rfc9381::{
    Proof as _, Prover as _, Verifier as _,
    ec::edwards25519::{
        EdVrfProof,
        tai::{EdVrfEdwards25519TaiPublicKey, EdVrfEdwards25519TaiSecretKey},
    },
};

/// A proof of 80 bytes: gamma (32), challenge (16), response (32).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct VrfProof(pub [u8; 80]);

/// The output of the function: 64 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VrfOutput(pub [u8; 64]);

/// Why a proof is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VrfError {
    /// The key cannot be used for the function.
    #[error("the key {0} cannot prove randomness")]
    Key(PublicKey),
    /// The proof is malformed, not in canonical form, or proves something else.
    #[error("the proof of randomness is not valid for the key {0}")]
    Proof(PublicKey),
}

/// What the proposer of `height` proves: the randomness of the block before and the height.
pub fn input(previous: &Hash, height: Height) -> Vec<u8> {
    [domain::VRF, previous.as_bytes(), &height.0.to_le_bytes()].concat()
}

/// Proves the output for `input`.
pub fn prove(key: &SecretKey, input: &[u8]) -> Result<VrfProof, VrfError> {
    let secret = EdVrfEdwards25519TaiSecretKey::from_slice(key.seed()).map_err(|_| VrfError::Key(key.public()))?;
    let proof = secret.prove(input).map_err(|_| VrfError::Key(key.public()))?.encode_to_pi();
    proof.try_into().map(VrfProof).map_err(|_| VrfError::Key(key.public()))
}

/// Verifies a proof and gives its output. Proofs have one encoding only.
pub fn verify(key: &PublicKey, input: &[u8], proof: &VrfProof) -> Result<VrfOutput, VrfError> {
    let public = EdVrfEdwards25519TaiPublicKey::from_slice(&key.0).map_err(|_| VrfError::Key(*key))?;
    let wrong = |_| VrfError::Proof(*key);
    let decoded = EdVrfProof::decode_pi(&proof.0).map_err(wrong)?;
    // The library reduces the response; another encoding of it would be another header with the same meaning.
    if decoded.encode_to_pi() != proof.0 {
        return Err(VrfError::Proof(*key));
    }
    let output = public.verify(input, decoded).map_err(wrong)?;
    Ok(VrfOutput(output.into()))
}

/// The next link of the chain of randomness.
pub fn chain(previous: &Hash, output: &VrfOutput) -> Hash {
    Hash::of(domain::RANDOMNESS, &[previous.as_bytes(), &output.0])
}

impl fmt::Debug for VrfProof {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "VrfProof({})", hex::encode(self.0.get(..4).unwrap_or(&[])))
    }
}

impl BorshSerialize for VrfProof {
    fn serialize<W: io::Write>(&self, writer: &mut W) -> io::Result<()> {
        writer.write_all(&self.0)
    }
}

impl BorshDeserialize for VrfProof {
    fn deserialize_reader<R: io::Read>(reader: &mut R) -> io::Result<Self> {
        let mut bytes = [0u8; 80];
        reader.read_exact(&mut bytes).map_err(|_| invalid("truncated proof of randomness"))?;
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9381, appendix B.3, example 16.
    #[test]
    fn rfc_example() {
        let seed = hex::decode("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60").unwrap();
        let key = SecretKey::from_seed(seed.try_into().unwrap());
        let proof = prove(&key, b"").unwrap();
        assert_eq!(
            hex::encode(proof.0),
            "8657106690b5526245a92b003bb079ccd1a92130477671f6fc01ad16f26f723f26f8a57ccaed74ee1b190bed1f479d97\
             27d2d0f9b005a6e456a35d4fb0daab1268a1b0db10836d9826a528ca76567805"
        );
        assert_eq!(
            hex::encode(verify(&key.public(), b"", &proof).unwrap().0),
            "90cf1df3b703cce59e2a35b925d411164068269d7b2d29f3301c03dd757876ff\
             66b71dda49d2de59d03450451af026798e8f81cd2e333de5cdf4f3e140fdd8ae"
        );
    }

    #[test]
    fn another_key_input_or_encoding_is_refused() {
        let key = SecretKey::from_seed([1; 32]);
        let proof = prove(&key, b"input").unwrap();
        assert!(verify(&key.public(), b"other", &proof).is_err());
        assert!(verify(&SecretKey::from_seed([2; 32]).public(), b"input", &proof).is_err());
        // Response plus the group order: the same scalar, another encoding.
        let order = hex::decode("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010").unwrap();
        let mut other = proof;
        let mut carry = 0u16;
        for (byte, add) in other.0[48..].iter_mut().zip(order) {
            carry += u16::from(*byte) + u16::from(add);
            *byte = carry as u8;
            carry >>= 8;
        }
        assert_eq!(verify(&key.public(), b"input", &other), Err(VrfError::Proof(key.public())));
    }
}

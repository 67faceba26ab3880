//! ed25519 keys and signatures.
//!
//! Transactions follow one rule everywhere, [ZIP-215](https://zips.z.cash/zip-0215): the cofactored equation,
//! under which a batch accepts exactly what single verification accepts. Consensus votes are
//! verified one by one with the strict rule ([`PublicKey::verify_strict`]), and never in batches.

use crate::{encoding::invalid, hash::HashError};
use borsh::{BorshDeserialize, BorshSerialize, io};
use serde::{Deserialize, Serialize};
use std::{convert::Infallible, fmt, str::FromStr};
use zeroize::Zeroizing;

/// An ed25519 public key: 32 bytes, printed as hexadecimal. Not necessarily a point on the curve
/// until something is verified with it.
#[derive(
    Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize, Serialize, Deserialize,
)]
#[serde(into = "String", try_from = "String")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(value_type = String))]
pub struct PublicKey(pub [u8; 32]);

/// An ed25519 signature: 64 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(value_type = String))]
pub struct Signature(pub [u8; 64]);

/// An ed25519 secret key: a 32-byte seed, wiped from memory when dropped. Never printed.
#[derive(Clone)]
pub struct SecretKey {
    seed: Zeroizing<[u8; 32]>,
    public: PublicKey,
}

/// The system gave no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("cannot make a key: the system gave no random bytes: {0}")]
pub struct EntropyError(String);

impl SecretKey {
    /// A new key from the system's random source.
    pub fn generate() -> Result<Self, EntropyError> {
        let mut seed = Zeroizing::new([0u8; 32]);
        getrandom::fill(seed.as_mut_slice()).map_err(|error| EntropyError(error.to_string()))?;
        Ok(Self::from_seed(*seed))
    }

    /// The key of a seed (RFC 8032, section 5.1.5).
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let public = ed25519_dalek::SigningKey::from_bytes(&seed).verifying_key().to_bytes();
        Self { seed: Zeroizing::new(seed), public: PublicKey(public) }
    }

    /// The seed: keep it secret.
    pub fn seed(&self) -> &[u8; 32] {
        &self.seed
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// Signs bytes, which must start with a [domain string](crate::domain).
    pub fn sign(&self, message: &[u8]) -> Signature {
        use ed25519_dalek::Signer;
        Signature(ed25519_dalek::SigningKey::from_bytes(&self.seed).sign(message).to_bytes())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SecretKey(of {})", self.public)
    }
}

impl PublicKey {
    /// Verifies by the ZIP-215 rule: transactions and grants.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> bool {
        ed25519_zebra::VerificationKey::try_from(self.0)
            .is_ok_and(|key| key.verify(&ed25519_zebra::Signature::from(signature.0), message).is_ok())
    }

    /// Verifies by the strict rule: consensus votes and proposals.
    pub fn verify_strict(&self, message: &[u8], signature: &Signature) -> bool {
        ed25519_dalek::VerifyingKey::from_bytes(&self.0)
            .is_ok_and(|key| key.verify_strict(message, &ed25519_dalek::Signature::from_bytes(&signature.0)).is_ok())
    }

    /// Whether the bytes are the one encoding of a point on the curve that is not of small order, hence usable as
    /// an identity.
    pub fn is_usable(&self) -> bool {
        // Libraries read a coordinate that is not reduced, and 19 points have a second encoding by it.
        let [first, middle @ .., last] = &self.0;
        let is_reduced = *first < 0xed || last & 0x7f != 0x7f || middle.iter().any(|byte| *byte != 0xff);
        is_reduced && ed25519_dalek::VerifyingKey::from_bytes(&self.0).is_ok_and(|key| !key.is_weak())
    }

    /// The first eight hexadecimal characters, for people.
    pub fn short(&self) -> String {
        hex::encode(self.0.get(..4).unwrap_or(&[]))
    }
}

/// One signature to verify.
#[derive(Debug, Clone, Copy)]
pub struct Signed<'a> {
    /// Who should have signed.
    pub key: PublicKey,
    /// The signed bytes.
    pub message: &'a [u8],
    /// The signature.
    pub signature: Signature,
}

/// Verifies many signatures by the ZIP-215 rule, about three times as fast as one by one. The answer
/// for each is what [`PublicKey::verify`] says: when the batch as a whole fails, each is verified alone.
pub fn verify_batch(items: &[Signed<'_>]) -> Vec<bool> {
    // Below this size a batch gains nothing.
    if items.len() >= 4 {
        let mut verifier = ed25519_zebra::batch::Verifier::new();
        let mut transcript = blake3::Hasher::new();
        for item in items {
            transcript.update(&item.key.0).update(&item.signature.0);
            transcript.update(blake3::hash(item.message).as_bytes());
            verifier.queue((
                ed25519_zebra::VerificationKeyBytes::from(item.key.0),
                ed25519_zebra::Signature::from(item.signature.0),
                item.message,
            ));
        }
        if verifier.verify(Coefficients(transcript.finalize_xof())).is_ok() {
            return vec![true; items.len()];
        }
    }
    items.iter().map(|item| item.key.verify(item.message, &item.signature)).collect()
}

/// The random coefficients of a batch, drawn from a hash over everything in it (Fiat-Shamir): nobody can
/// choose signatures after knowing them, and the same batch gives the same answer on every machine.
struct Coefficients(blake3::OutputReader);

impl rand_core::TryRng for Coefficients {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0u8; 4];
        self.0.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0u8; 8];
        self.0.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(bytes);
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Coefficients {}

impl fmt::Display for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&hex::encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PublicKey({})", self.short())
    }
}

impl FromStr for PublicKey {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        text.parse::<crate::hash::Hash>().map(|bytes| Self(bytes.0))
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> Self {
        key.to_string()
    }
}

impl TryFrom<String> for PublicKey {
    type Error = HashError;

    fn try_from(text: String) -> Result<Self, HashError> {
        text.parse()
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Signature({})", hex::encode(self.0.get(..4).unwrap_or(&[])))
    }
}

impl From<Signature> for String {
    fn from(signature: Signature) -> Self {
        hex::encode(signature.0)
    }
}

impl TryFrom<String> for Signature {
    type Error = SignatureError;

    fn try_from(text: String) -> Result<Self, SignatureError> {
        let mut bytes = [0u8; 64];
        hex::decode_to_slice(&text, &mut bytes).map_err(|_| SignatureError(text))?;
        Ok(Self(bytes))
    }
}

/// Why a text is not a signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a signature: it takes 128 hexadecimal characters")]
pub struct SignatureError(pub String);

impl BorshSerialize for Signature {
    fn serialize<W: io::Write>(&self, writer: &mut W) -> io::Result<()> {
        writer.write_all(&self.0)
    }
}

impl BorshDeserialize for Signature {
    fn deserialize_reader<R: io::Read>(reader: &mut R) -> io::Result<Self> {
        let mut bytes = [0u8; 64];
        reader.read_exact(&mut bytes).map_err(|_| invalid("truncated signature"))?;
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(seed: u8) -> SecretKey {
        SecretKey::from_seed([seed; 32])
    }

    /// The 8 encodings of points of small order: keys and `R` values on which the rules for
    /// verification differ between libraries. With `s = 0` ZIP-215 accepts all of them.
    fn small_order() -> Vec<[u8; 32]> {
        [
            "0100000000000000000000000000000000000000000000000000000000000000",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "0000000000000000000000000000000000000000000000000000000000000080",
            "0000000000000000000000000000000000000000000000000000000000000000",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        ]
        .iter()
        .map(|text| text.parse::<crate::hash::Hash>().unwrap().0)
        .collect()
    }

    #[test]
    fn batch_agrees_with_single_on_small_order_points() {
        let points = small_order();
        let mut signatures = Vec::new();
        for key in &points {
            for r in &points {
                let mut signature = [0u8; 64];
                signature[..32].copy_from_slice(r);
                signatures.push((PublicKey(*key), Signature(signature)));
            }
        }
        let items: Vec<Signed> = signatures
            .iter()
            .map(|(key, signature)| Signed { key: *key, message: b"Zcash", signature: *signature })
            .collect();
        let single: Vec<bool> = items.iter().map(|item| item.key.verify(item.message, &item.signature)).collect();
        assert!(single.iter().all(|valid| *valid), "ZIP-215 accepts all of these");
        assert_eq!(verify_batch(&items), single);
        assert!(
            items.iter().any(|item| !item.key.verify_strict(item.message, &item.signature)),
            "the strict rule differs"
        );
    }

    #[test]
    fn only_the_one_encoding_of_a_point_of_large_order_is_an_identity() {
        assert!(key(1).public().is_usable());
        assert!(small_order().into_iter().all(|bytes| !PublicKey(bytes).is_usable()));
        let mut doubled = 0;
        for y in 0u8..19 {
            let mut plain = [0; 32];
            plain[0] = y;
            // The same coordinate plus 2^255 - 19.
            let mut second = [0xff; 32];
            (second[0], second[31]) = (0xed + y, 0x7f);
            assert!(!PublicKey(second).is_usable(), "{y}");
            doubled +=
                u8::from(ed25519_dalek::VerifyingKey::from_bytes(&second).is_ok() && PublicKey(plain).is_usable());
        }
        assert!(doubled > 0, "the library alone would take both");
    }

    #[test]
    fn one_bad_signature_spoils_only_itself() {
        let messages: Vec<Vec<u8>> = (0..16u8).map(|n| vec![n; 40]).collect();
        let signatures: Vec<(PublicKey, Signature)> = messages
            .iter()
            .enumerate()
            .map(|(n, message)| (key(n as u8).public(), key(n as u8).sign(message)))
            .collect();
        let mut items: Vec<Signed> = messages
            .iter()
            .zip(&signatures)
            .map(|(message, (key, signature))| Signed { key: *key, message, signature: *signature })
            .collect();
        assert_eq!(verify_batch(&items), vec![true; 16]);
        items[5].message = b"another message";
        let expected: Vec<bool> = (0..16).map(|n| n != 5).collect();
        assert_eq!(verify_batch(&items), expected);
    }

    proptest! {
        #[test]
        fn batch_never_disagrees_with_single(
            items in proptest::collection::vec((0u8..4, any::<[u8; 8]>(), proptest::option::of((0usize..64, any::<u8>()))), 0..20)
        ) {
            let signed: Vec<(PublicKey, [u8; 8], Signature)> = items.iter().map(|(seed, message, damage)| {
                let mut signature = key(*seed).sign(message);
                if let Some((position, byte)) = damage { signature.0[*position] = *byte; }
                (key(*seed).public(), *message, signature)
            }).collect();
            let items: Vec<Signed> = signed.iter().map(|(key, message, signature)| Signed { key: *key, message, signature: *signature }).collect();
            let single: Vec<bool> = items.iter().map(|item| item.key.verify(item.message, &item.signature)).collect();
            prop_assert_eq!(verify_batch(&items), single);
        }

        #[test]
        fn arbitrary_bytes_never_panic(key: [u8; 32], a: [u8; 32], b: [u8; 32], message: Vec<u8>) {
            let mut signature = [0u8; 64];
            signature[..32].copy_from_slice(&a);
            signature[32..].copy_from_slice(&b);
            let (key, signature) = (PublicKey(key), Signature(signature));
            let single = key.verify(&message, &signature);
            let _ = key.verify_strict(&message, &signature);
            let items = vec![Signed { key, message: &message, signature }; 5];
            prop_assert_eq!(verify_batch(&items), vec![single; 5]);
        }
    }
}

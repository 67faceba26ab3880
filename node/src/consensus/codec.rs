//! How the engine's messages look on the wire and in its log: borsh, strictly decoded.

use super::context::{Context, Height, Value, engine_round, round_of};
use crate::chain::parts::Part;
use borsh::io;
use bytes::Bytes;
use malachitebft_codec::{Codec, HasEncodedLen};
use malachitebft_core_consensus::{LivenessMsg, ProposedValue, SignedConsensusMsg};
use malachitebft_core_types::{
    CommitCertificate, CommitSignature, ExtendedCommitCertificate, ExtendedCommitSignature, PolkaCertificate,
    ValidatorProof,
};
use malachitebft_engine::util::streaming::StreamMessage;
use malachitebft_sync::{RawDecidedValue, Request, Response, Status, ValueResponse};
use valo_protocol::{
    Signature,
    bytes::BoundedVec,
    vote::{self, Certificate},
};

/// The codec.
#[derive(Debug, Clone, Copy)]
pub struct BorshCodec;

macro_rules! borsh_codec {
    ($($message:ty),* $(,)?) => {$(
        impl Codec<$message> for BorshCodec {
            type Error = io::Error;

            fn decode(&self, bytes: Bytes) -> io::Result<$message> {
                borsh::from_slice(&bytes)
            }

            fn encode(&self, message: &$message) -> io::Result<Bytes> {
                borsh::to_vec(message).map(Bytes::from)
            }
        }
    )*};
}
borsh_codec!(
    Part,
    SignedConsensusMsg<Context>,
    LivenessMsg<Context>,
    ProposedValue<Context>,
    PolkaCertificate<Context>,
    StreamMessage<Part>,
    Status<Context>,
    Request<Context>,
);

fn malformed(reason: impl ToString) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.to_string())
}

/// The engine's certificate in the form of the protocol: signatures in the order of keys.
pub fn certificate_of(certificate: &CommitCertificate<Context>) -> io::Result<Certificate> {
    let signatures = certificate.commit_signatures.iter().map(|signature| (signature.address.0, signature.signature));
    build_certificate(certificate.height, certificate.round, certificate.value_id, signatures)
}

fn build_certificate(
    height: Height,
    round: malachitebft_core_types::Round,
    value: Value,
    signatures: impl Iterator<Item = (valo_protocol::PublicKey, Signature)>,
) -> io::Result<Certificate> {
    let mut signatures: Vec<_> =
        signatures.map(|(validator, signature)| vote::CommitSignature { validator, signature }).collect();
    signatures.sort_by_key(|signature| signature.validator);
    Ok(Certificate {
        height: height.0,
        round: round_of(round).ok_or_else(|| malformed("a certificate without a round"))?,
        block: value.0,
        signatures: BoundedVec::new(signatures).map_err(malformed)?,
    })
}

/// A certificate of the protocol in the engine's form.
pub fn engine_certificate(certificate: &Certificate) -> ExtendedCommitCertificate<Context> {
    let signatures = certificate.signatures.iter();
    ExtendedCommitCertificate {
        height: Height(certificate.height),
        round: engine_round(certificate.round),
        value_id: Value(certificate.block),
        commit_signatures: signatures
            .map(|signature| {
                ExtendedCommitSignature::new(super::context::Address(signature.validator), signature.signature, None)
            })
            .collect(),
    }
}

/// The same without room for extensions.
pub fn plain_certificate(certificate: &Certificate) -> CommitCertificate<Context> {
    let signatures = certificate.signatures.iter();
    CommitCertificate {
        height: Height(certificate.height),
        round: engine_round(certificate.round),
        value_id: Value(certificate.block),
        commit_signatures: signatures
            .map(|signature| CommitSignature::new(super::context::Address(signature.validator), signature.signature))
            .collect(),
    }
}

// The engine has no borsh form for certificates with extensions, which we have none of.
type WireResponse = (Height, Vec<(Bytes, Certificate)>);

impl Codec<Response<Context>> for BorshCodec {
    type Error = io::Error;

    fn decode(&self, bytes: Bytes) -> io::Result<Response<Context>> {
        let (start, values): WireResponse = borsh::from_slice(&bytes)?;
        let is_ordered =
            |certificate: &Certificate| certificate.signatures.is_sorted_by(|one, next| one.validator < next.validator);
        if !values.iter().all(|(_, certificate)| is_ordered(certificate)) {
            return Err(malformed("the signatures of a certificate are not in ascending order of keys"));
        }
        let values = values
            .into_iter()
            .map(|(block, certificate)| RawDecidedValue::new(block, engine_certificate(&certificate)))
            .collect();
        Ok(Response::ValueResponse(ValueResponse::new(start, values)))
    }

    fn encode(&self, response: &Response<Context>) -> io::Result<Bytes> {
        let Response::ValueResponse(response) = response;
        let mut values = Vec::with_capacity(response.values.len());
        for RawDecidedValue { value_bytes, certificate } in &response.values {
            let signatures =
                certificate.commit_signatures.iter().map(|signature| (signature.address.0, signature.signature));
            let certificate =
                build_certificate(certificate.height, certificate.round, certificate.value_id, signatures)?;
            values.push((value_bytes.clone(), certificate));
        }
        borsh::to_vec(&(response.start_height, values)).map(Bytes::from)
    }
}

impl HasEncodedLen<Response<Context>> for BorshCodec {
    /// An upper bound: the engine uses it to stay below the largest answer.
    fn encoded_len(&self, response: &Response<Context>) -> io::Result<usize> {
        let Response::ValueResponse(response) = response;
        let one = |value: &RawDecidedValue<Context>| {
            value
                .value_bytes
                .len()
                .saturating_add(64)
                .saturating_add(value.certificate.commit_signatures.len().saturating_mul(96))
        };
        Ok(response.values.iter().map(one).fold(16, usize::saturating_add))
    }
}

impl Codec<ValidatorProof<Context>> for BorshCodec {
    type Error = io::Error;

    fn decode(&self, bytes: Bytes) -> io::Result<ValidatorProof<Context>> {
        let (key, peer, signature): (Vec<u8>, Vec<u8>, Signature) = borsh::from_slice(&bytes)?;
        Ok(ValidatorProof::new(key, peer, signature))
    }

    fn encode(&self, proof: &ValidatorProof<Context>) -> io::Result<Bytes> {
        borsh::to_vec(&(&proof.public_key, &proof.peer_id, &proof.signature)).map(Bytes::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{chain::parts, consensus::context::Address};
    use malachitebft_core_types::Round;
    use malachitebft_engine::util::streaming::{StreamContent, StreamId};
    use proptest::prelude::*;
    use valo_mutation::damaged;
    use valo_protocol::{BlockId, PublicKey};

    const BLOCK: BlockId = BlockId([1; 32]);

    /// What `T` gives when it is read and written again.
    fn again<T>(bytes: &[u8]) -> Option<Vec<u8>>
    where
        BorshCodec: Codec<T, Error = io::Error>,
    {
        let value: T = BorshCodec.decode(Bytes::copy_from_slice(bytes)).ok()?;
        Some(BorshCodec.encode(&value).unwrap().to_vec())
    }

    fn seed<T>(value: &T) -> Vec<u8>
    where
        BorshCodec: Codec<T, Error = io::Error>,
    {
        BorshCodec.encode(value).unwrap().to_vec()
    }

    fn seeds() -> Vec<Vec<u8>> {
        let proposal = vote::Proposal {
            height: valo_protocol::Height(300),
            round: valo_protocol::Round(1),
            block: BLOCK,
            valid_round: Some(valo_protocol::Round(0)),
            proposer: PublicKey([2; 32]),
        };
        let parts = parts::split(proposal, Signature([3; 64]), &Bytes::from(vec![5; 300]));
        let stream = |(sequence, part): (u64, &Part)| {
            let id = StreamId::new(Bytes::from_static(b"stream"));
            seed(&StreamMessage::new(id, sequence, StreamContent::Data(part.clone())))
        };
        let signature = |key| CommitSignature::new(Address(PublicKey([key; 32])), Signature([key; 64]));
        let certificate = CommitCertificate {
            height: Height(valo_protocol::Height(300)),
            round: Round::new(1),
            value_id: Value(BLOCK),
            commit_signatures: vec![signature(1), signature(2)],
        };
        let certificate = engine_certificate(&certificate_of(&certificate).unwrap());
        let values = vec![RawDecidedValue::new(Bytes::from(vec![9; 100]), certificate); 2];
        let response = Response::ValueResponse(ValueResponse::new(Height(valo_protocol::Height(300)), values));
        let mut seeds: Vec<Vec<u8>> = parts.iter().map(seed).chain((0u64..).zip(&parts).map(stream)).collect();
        seeds.push(seed(&response));
        seeds.push(seed(&ValidatorProof::<Context>::new(vec![1; 32], vec![2; 38], Signature([3; 64]))));
        seeds
    }

    proptest! {
        /// Whatever a validator sends: an error, or a message that is these bytes and no others.
        #[test]
        fn damaged_messages_are_errors_or_themselves(bytes in damaged(seeds())) {
            let read = [
                again::<Part>(&bytes),
                again::<StreamMessage<Part>>(&bytes),
                again::<Response<Context>>(&bytes),
                again::<ValidatorProof<Context>>(&bytes),
                again::<SignedConsensusMsg<Context>>(&bytes),
                again::<LivenessMsg<Context>>(&bytes),
                again::<ProposedValue<Context>>(&bytes),
                again::<PolkaCertificate<Context>>(&bytes),
                again::<Status<Context>>(&bytes),
                again::<Request<Context>>(&bytes),
            ];
            for encoded in read.into_iter().flatten() {
                prop_assert_eq!(&encoded, &bytes);
            }
            if let Ok(response) = Codec::<Response<Context>>::decode(&BorshCodec, Bytes::from(bytes.clone())) {
                prop_assert!(BorshCodec.encoded_len(&response).unwrap() >= bytes.len());
            }
        }
    }

    #[test]
    fn an_answer_with_signatures_in_another_order_is_refused() {
        let seed = seeds().into_iter().find(|seed| again::<Response<Context>>(seed).is_some()).unwrap();
        let signature = |key: u8| [vec![key; 32], vec![key; 64]].concat();
        let (ordered, turned) = ([signature(1), signature(2)].concat(), [signature(2), signature(1)].concat());
        let at = seed.windows(ordered.len()).position(|window| window == ordered).unwrap();
        let mut other = seed;
        other[at..at + turned.len()].copy_from_slice(&turned);
        assert_eq!(again::<Response<Context>>(&other), None);
    }

    #[test]
    fn the_seeds_are_messages() {
        for seed in seeds() {
            let kinds = [
                again::<Part>(&seed),
                again::<StreamMessage<Part>>(&seed),
                again::<Response<Context>>(&seed),
                again::<ValidatorProof<Context>>(&seed),
            ];
            assert!(kinds.into_iter().flatten().any(|bytes| bytes == seed));
        }
    }
}

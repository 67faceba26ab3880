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

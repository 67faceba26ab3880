//! Signatures for the engine: the protocol's signed bytes, the strict rule.

use super::{
    context::{Context, Ed25519, Proposal, Vote},
    signed::{LastSigned, SignedError},
};
use async_trait::async_trait;
use bytes::Bytes;
use malachitebft_core_types::{SignedMessage, SigningScheme as _, ValidatorProof, VoteExtensionScope};
use malachitebft_signing::{Error, Signer, VerificationResult, Verifier};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::task::spawn_blocking;
use valo_protocol::{GenesisHash, PublicKey, SecretKey, Signature, domain};

/// Signs with the node's key for one chain.
#[derive(Debug, Clone)]
pub struct NodeSigner {
    key: SecretKey,
    genesis: GenesisHash,
    /// What was signed last; none where nothing lasts, as in a simulation.
    signed: Option<Arc<Mutex<LastSigned>>>,
}

impl NodeSigner {
    /// A signer for a chain.
    pub fn new(key: SecretKey, genesis: GenesisHash) -> Self {
        Self { key, genesis, signed: None }
    }

    /// The same, but it signs for the engine nothing that contradicts what was signed before.
    pub fn guarded(self, signed: Arc<Mutex<LastSigned>>) -> Self {
        Self { signed: Some(signed), ..self }
    }

    /// What may be signed in place of a message, on disk when this returns.
    async fn allowed<T: Send + 'static>(
        &self,
        message: T,
        hold: impl FnOnce(&mut LastSigned, &T) -> Result<T, SignedError> + Send + 'static,
    ) -> Result<T, Error> {
        let Some(signed) = self.signed.clone() else { return Ok(message) };
        let held = spawn_blocking(move || hold(&mut signed.lock().unwrap_or_else(PoisonError::into_inner), &message));
        match held.await {
            Ok(Ok(message)) => Ok(message),
            Ok(Err(error)) => {
                tracing::error!(%error, "cannot sign");
                Err(Error::from_source(error))
            }
            Err(error) => Err(Error::from_source(error)),
        }
    }

    /// Signs a vote.
    pub fn vote(&self, vote: &Vote) -> Signature {
        self.key.sign(&vote.protocol().signed_bytes(&self.genesis))
    }

    /// Signs a proposal.
    pub fn proposal(&self, proposal: &Proposal) -> Signature {
        self.key.sign(&proposal.protocol().signed_bytes(&self.genesis))
    }
}

/// Verifies for one chain.
#[derive(Debug, Clone, Copy)]
pub struct ChainVerifier {
    genesis: GenesisHash,
}

impl ChainVerifier {
    /// A verifier for a chain.
    pub fn new(genesis: GenesisHash) -> Self {
        Self { genesis }
    }

    /// Whether `key` signed a vote.
    pub fn vote(&self, vote: &Vote, signature: &Signature, key: &PublicKey) -> bool {
        key.verify_strict(&vote.protocol().signed_bytes(&self.genesis), signature)
    }

    /// Whether `key` signed a proposal.
    pub fn proposal(&self, proposal: &Proposal, signature: &Signature, key: &PublicKey) -> bool {
        key.verify_strict(&proposal.protocol().signed_bytes(&self.genesis), signature)
    }
}

/// What a validator signs to show which network peer it is.
fn validator_proof_bytes(genesis: &GenesisHash, key: &[u8], peer: &[u8]) -> Vec<u8> {
    [domain::VALIDATOR_PROOF, genesis.as_bytes(), &ValidatorProof::<Context>::signing_bytes(key, peer)].concat()
}

fn no_extensions() -> Error {
    Error::from_source("votes carry no extensions on this chain")
}

#[async_trait]
impl Signer<Context> for NodeSigner {
    async fn sign_vote(&self, vote: Vote) -> Result<SignedMessage<Context, Vote>, Error> {
        let held = |signed: &mut LastSigned, vote: &Vote| {
            let mut vote = vote.protocol();
            vote.block = signed.vote(&vote)?;
            Ok(vote.into())
        };
        let vote = self.allowed(vote, held).await?;
        let signature = self.vote(&vote);
        Ok(SignedMessage::new(vote, signature))
    }

    async fn sign_proposal(&self, proposal: Proposal) -> Result<SignedMessage<Context, Proposal>, Error> {
        let held = |signed: &mut LastSigned, proposal: &Proposal| {
            let mut proposal = proposal.protocol();
            (proposal.block, proposal.valid_round) = signed.proposal(&proposal)?;
            Ok(proposal.into())
        };
        let proposal = self.allowed(proposal, held).await?;
        let signature = self.proposal(&proposal);
        Ok(SignedMessage::new(proposal, signature))
    }

    async fn sign_vote_extension(
        &self,
        _scope: VoteExtensionScope<Context>,
        _extension: Bytes,
    ) -> Result<SignedMessage<Context, Bytes>, Error> {
        Err(no_extensions())
    }

    async fn sign_validator_proof(&self, key: Vec<u8>, peer: Vec<u8>) -> Result<ValidatorProof<Context>, Error> {
        let signature = self.key.sign(&validator_proof_bytes(&self.genesis, &key, &peer));
        Ok(ValidatorProof::new(key, peer, signature))
    }
}

#[async_trait]
impl Verifier<Context> for ChainVerifier {
    async fn verify_signed_vote(
        &self,
        vote: &Vote,
        signature: &Signature,
        key: &PublicKey,
    ) -> Result<VerificationResult, Error> {
        Ok(VerificationResult::from_bool(self.vote(vote, signature, key)))
    }

    async fn verify_signed_proposal(
        &self,
        proposal: &Proposal,
        signature: &Signature,
        key: &PublicKey,
    ) -> Result<VerificationResult, Error> {
        Ok(VerificationResult::from_bool(self.proposal(proposal, signature, key)))
    }

    async fn verify_signed_vote_extension(
        &self,
        _scope: &VoteExtensionScope<Context>,
        _extension: &Bytes,
        _signature: &Signature,
        _key: &PublicKey,
    ) -> Result<VerificationResult, Error> {
        Ok(VerificationResult::Invalid)
    }

    async fn verify_validator_proof(&self, proof: &ValidatorProof<Context>) -> Result<VerificationResult, Error> {
        let bytes = validator_proof_bytes(&self.genesis, &proof.public_key, &proof.peer_id);
        let valid =
            Ed25519::decode_public_key(&proof.public_key).is_ok_and(|key| key.verify_strict(&bytes, &proof.signature));
        Ok(VerificationResult::from_bool(valid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consensus::context::{Address, Height, Value};
    use malachitebft_core_types::{Context as _, NilOrVal, Round};
    use valo_protocol::{BlockId, Timestamp, ValidatorSet, vote};

    /// What the engine signs, a light client verifies without it.
    #[test]
    fn precommits_make_a_certificate_of_the_protocol() {
        let genesis = GenesisHash([7; 32]);
        let key = SecretKey::from_seed([1; 32]);
        let vote = Context.new_precommit(
            Height(valo_protocol::Height(3)),
            Round::new(2),
            NilOrVal::Val(Value(BlockId([9; 32]))),
            Address(key.public()),
        );
        let signature = NodeSigner::new(key.clone(), genesis).vote(&vote);
        let member = valo_protocol::Validator { key: key.public(), power: 5, owner: Default::default() };
        let certificate = vote::Certificate {
            height: valo_protocol::Height(3),
            round: valo_protocol::Round(2),
            block: BlockId([9; 32]),
            signatures: valo_protocol::bytes::BoundedVec::new(vec![vote::CommitSignature {
                validator: key.public(),
                signature,
            }])
            .unwrap(),
        };
        let set = ValidatorSet::new(vec![member]).unwrap();
        assert_eq!(certificate.verify(&genesis, &set), Ok(()));
        assert!(certificate.verify(&GenesisHash([8; 32]), &set).is_err(), "another chain");
    }

    /// The engine gets what it may say, signed, also after its own log is lost.
    #[tokio::test]
    async fn a_second_vote_for_a_step_is_the_first_one() {
        let folder = tempfile::tempdir().unwrap();
        let genesis = GenesisHash([7; 32]);
        let key = SecretKey::from_seed([1; 32]);
        let log = folder.path().join("consensus.log");
        let signer = || {
            let path = folder.path().join("signed.log");
            let mut signed = LastSigned::open(path, &log, key.public(), genesis, Timestamp(1)).unwrap();
            signed.allow(valo_protocol::Height(0)).unwrap();
            NodeSigner::new(key.clone(), genesis).guarded(Arc::new(Mutex::new(signed)))
        };
        let vote = |block| {
            let value = NilOrVal::Val(Value(BlockId([block; 32])));
            Context.new_prevote(Height(valo_protocol::Height(3)), Round::new(0), value, Address(key.public()))
        };
        let first = signer().sign_vote(vote(1)).await.unwrap();
        let second = signer().sign_vote(vote(2)).await.unwrap();
        assert_eq!(second.message, vote(1));
        assert_eq!(second.signature, first.signature);
        assert!(ChainVerifier::new(genesis).vote(&second.message, &second.signature, &key.public()));
    }

    #[test]
    fn a_proof_of_one_peer_is_not_one_of_another() {
        let genesis = GenesisHash([7; 32]);
        let key = SecretKey::from_seed([1; 32]);
        let signer = NodeSigner::new(key.clone(), genesis);
        let signature = signer.key.sign(&validator_proof_bytes(&genesis, &key.public().0, b"peer"));
        for (peer, expected) in [(&b"peer"[..], true), (b"other", false)] {
            let proof = ValidatorProof::<Context>::new(key.public().0.to_vec(), peer.to_vec(), signature);
            let result = futures::executor::block_on(ChainVerifier::new(genesis).verify_validator_proof(&proof));
            assert_eq!(result.unwrap().is_valid(), expected);
        }
    }
}

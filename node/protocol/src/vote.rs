//! What validators sign in consensus, and the certificates that make a block final.
//!
//! Signed bytes of a vote: `"valo/vote/1" || genesis hash || borsh(Vote)`. A light client needs nothing
//! of the consensus engine: these bytes, the validator set and the signatures are enough.

use crate::{
    bytes::BoundedVec,
    domain,
    encoding::encode,
    hash::{BlockId, GenesisHash, Hash},
    keys::{PublicKey, Signature},
    time::{Height, Round},
    validator::{MAX_VALIDATORS, ValidatorSet},
};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

/// The two phases of voting.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize, Serialize, Deserialize,
)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum VoteKind {
    /// First phase: the block is acceptable.
    Prevote,
    /// Second phase: more than two thirds found it acceptable.
    Precommit,
}

/// A vote of a validator for a block, or for none.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize, Serialize, Deserialize,
)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Vote {
    /// Phase.
    pub kind: VoteKind,
    /// Height voted on.
    pub height: Height,
    /// Round voted in.
    pub round: Round,
    /// The block, or none when no acceptable proposal came in time.
    pub block: Option<BlockId>,
    /// Who votes.
    pub validator: PublicKey,
}

impl Vote {
    /// The bytes that are signed.
    pub fn signed_bytes(&self, genesis: &GenesisHash) -> Vec<u8> {
        [domain::VOTE, genesis.as_bytes(), &encode(self)].concat()
    }
}

/// A proposal of a block in a round.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize, Serialize, Deserialize,
)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Proposal {
    /// Height proposed for.
    pub height: Height,
    /// Round proposed in.
    pub round: Round,
    /// The block.
    pub block: BlockId,
    /// The earlier round in which this block had two thirds of the prevotes, if it is proposed again.
    pub valid_round: Option<Round>,
    /// Who proposes.
    pub proposer: PublicKey,
}

impl Proposal {
    /// The bytes that are signed.
    pub fn signed_bytes(&self, genesis: &GenesisHash) -> Vec<u8> {
        [domain::PROPOSAL, genesis.as_bytes(), &encode(self)].concat()
    }
}

/// One precommit in a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct CommitSignature {
    /// Who signed.
    pub validator: PublicKey,
    /// The signature over the precommit.
    pub signature: Signature,
}

/// Precommits of more than two thirds of the voting power: what makes a block final.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Certificate {
    /// Height of the block.
    pub height: Height,
    /// Round in which it was decided.
    pub round: Round,
    /// The block.
    pub block: BlockId,
    /// Signatures in ascending order of the validators' keys.
    #[cfg_attr(feature = "schema", schema(value_type = Vec<CommitSignature>))]
    pub signatures: BoundedVec<CommitSignature, MAX_VALIDATORS>,
}

/// Why a certificate proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Not strictly ascending by key, hence perhaps counted twice.
    #[error("the signatures of the certificate for height {0} are not in ascending order of keys")]
    Order(Height),
    /// Signed by somebody outside the set.
    #[error("{validator} signed the certificate for height {height} but is not a validator there")]
    Stranger {
        /// Height of the certificate.
        height: Height,
        /// The signer.
        validator: PublicKey,
    },
    /// A signature does not verify.
    #[error("the signature of {validator} on the certificate for height {height} does not verify")]
    Signature {
        /// Height of the certificate.
        height: Height,
        /// The signer.
        validator: PublicKey,
    },
    /// Two thirds or less.
    #[error(
        "the certificate for height {height} carries {signed} of {total} voting power; it takes more than two thirds"
    )]
    Power {
        /// Height of the certificate.
        height: Height,
        /// Power that signed.
        signed: u64,
        /// Power of the set.
        total: u64,
    },
}

impl Certificate {
    /// The hash under which the next header names this certificate.
    pub fn hash(&self) -> Hash {
        Hash::of(domain::CERTIFICATE, &[&encode(self)])
    }

    /// Checks every signature (strict rule) and the voting power against the set of that height.
    pub fn verify(&self, genesis: &GenesisHash, validators: &ValidatorSet) -> Result<(), CertificateError> {
        let height = self.height;
        if !self.signatures.is_sorted_by(|a, b| a.validator < b.validator) {
            return Err(CertificateError::Order(height));
        }
        let mut signed = 0u64;
        for CommitSignature { validator, signature } in &self.signatures {
            let member =
                validators.get(validator).ok_or(CertificateError::Stranger { height, validator: *validator })?;
            let vote = Vote {
                kind: VoteKind::Precommit,
                height,
                round: self.round,
                block: Some(self.block),
                validator: *validator,
            };
            if !validator.verify_strict(&vote.signed_bytes(genesis), signature) {
                return Err(CertificateError::Signature { height, validator: *validator });
            }
            signed = signed.saturating_add(member.power);
        }
        let total = validators.total_power();
        if !validators.is_quorum(signed) {
            return Err(CertificateError::Power { height, signed, total });
        }
        Ok(())
    }
}

/// Two signed statements of one validator of which it may make only one.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Evidence {
    /// Two votes of one kind in one round for different blocks.
    Votes {
        /// One vote and its signature.
        first: (Vote, Signature),
        /// The other.
        second: (Vote, Signature),
    },
    /// Two proposals in one round.
    Proposals {
        /// One proposal and its signature.
        first: (Proposal, Signature),
        /// The other.
        second: (Proposal, Signature),
    },
}

impl Evidence {
    /// Whether this proves a fault: one signer, one place, two different statements, both signed.
    pub fn verify(&self, genesis: &GenesisHash) -> bool {
        match self {
            Self::Votes { first: (a, signature_a), second: (b, signature_b) } => {
                (a.kind, a.height, a.round, a.validator) == (b.kind, b.height, b.round, b.validator)
                    && a.block != b.block
                    && a.validator.verify_strict(&a.signed_bytes(genesis), signature_a)
                    && b.validator.verify_strict(&b.signed_bytes(genesis), signature_b)
            }
            Self::Proposals { first: (a, signature_a), second: (b, signature_b) } => {
                (a.height, a.round, a.proposer) == (b.height, b.round, b.proposer)
                    && a.block != b.block
                    && a.proposer.verify_strict(&a.signed_bytes(genesis), signature_a)
                    && b.proposer.verify_strict(&b.signed_bytes(genesis), signature_b)
            }
        }
    }

    /// The height at which it happened.
    pub const fn height(&self) -> Height {
        match self {
            Self::Votes { first: (vote, _), .. } => vote.height,
            Self::Proposals { first: (proposal, _), .. } => proposal.height,
        }
    }

    /// The validator at fault.
    pub fn culprit(&self) -> PublicKey {
        match self {
            Self::Votes { first: (vote, _), .. } => vote.validator,
            Self::Proposals { first: (proposal, _), .. } => proposal.proposer,
        }
    }
}

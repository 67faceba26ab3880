//! What the check starts from, and the check of a proof of state against it.

use super::LightError;
use valo_protocol::{
    Duration, Genesis, GenesisHash, Hash, Height, Timestamp, ValidatorSet,
    proof::{StateProof, StateProofError},
};

/// What is believed without proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// The genesis document, from a source that the user trusts.
    Genesis {
        /// Its hash.
        genesis: GenesisHash,
        /// Name of the chain.
        chain: String,
        /// Its validators.
        validators: ValidatorSet,
        /// Block time of the genesis state.
        time: Timestamp,
        /// How long stake answers for what its validator signed.
        unbonding: Duration,
    },
    /// The validator set of a height, from a source that the user trusts.
    Checkpoint {
        /// Hash of the genesis document.
        genesis: GenesisHash,
        /// The height.
        height: Height,
        /// Hash of the validator set there.
        validators: Hash,
    },
}

impl Trust {
    /// Trust in a genesis document.
    pub fn from_genesis(genesis: &Genesis) -> Result<Self, LightError> {
        Ok(Self::Genesis {
            genesis: genesis.hash(),
            chain: genesis.chain.to_string(),
            validators: genesis.validators()?,
            time: genesis.time,
            unbonding: genesis.parameters.unbonding,
        })
    }

    /// The chain.
    pub fn genesis(&self) -> GenesisHash {
        match self {
            Self::Genesis { genesis, .. } | Self::Checkpoint { genesis, .. } => *genesis,
        }
    }

    /// Hash of the trusted validator set.
    pub fn validators(&self) -> Hash {
        match self {
            Self::Genesis { validators, .. } => validators.hash(),
            Self::Checkpoint { validators, .. } => *validators,
        }
    }

    /// In words: what is believed.
    pub fn describe(&self) -> String {
        match self {
            Self::Genesis { genesis, chain, validators, .. } => format!(
                "the genesis document of chain `{chain}` ({}), and that validators with more than two thirds of the voting power of its {} do not sign a wrong block",
                genesis.short(),
                validators.validators().len(),
            ),
            Self::Checkpoint { genesis, height, validators } => format!(
                "the checkpoint at height {height} of chain {} (validators {}), and that validators with more than two thirds of its voting power do not sign a wrong block",
                genesis.short(),
                validators.short(),
            ),
        }
    }

    /// What this trust is no longer worth at block time `now`, if anything.
    pub fn caveat(&self, now: Timestamp) -> Option<String> {
        match self {
            Self::Genesis { time, unbonding, .. } if now.since(*time) > *unbonding => Some(format!(
                "the chain is older than its unbonding time of {} s: stake that has left since no longer answers for what the genesis validators sign; a checkpoint younger than that is the stronger trust",
                unbonding.0 / 1000
            )),
            _ => None,
        }
    }
}

/// Checks a proof of state against what is trusted: path, header, certificate, signatures, validators.
pub fn verify_proof(trust: &Trust, proof: &StateProof) -> Result<(), LightError> {
    let height = proof.finalized.header.height;
    if let Trust::Checkpoint { height: checkpoint, .. } = trust
        && height < *checkpoint
    {
        return Err(LightError::BeforeCheckpoint { height, checkpoint: *checkpoint });
    }
    let (found, trusted) = (proof.validators.hash(), trust.validators());
    if found != trusted {
        return Err(LightError::ValidatorsChanged { height, found, trusted });
    }
    // Equal hashes are equal sets, so the proof's own set is the trusted one from here on. Its arithmetic relies on
    // the rules of a set, which decoding alone does not check.
    let set = ValidatorSet::new(proof.validators.validators().to_vec())?;
    if set != proof.validators {
        return Err(StateProofError::Validators { found, trusted: set.hash() }.into());
    }
    Ok(proof.verify(&trust.genesis(), &set)?)
}

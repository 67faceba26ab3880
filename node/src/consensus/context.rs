//! The types the consensus engine is generic over, made concrete: thin coats around those of `valo-protocol`.
//!
//! A vote or a proposal can be decoded only if it is one of the protocol, and what is signed is exactly what the
//! protocol says ([`valo_protocol::vote`]), so a light client needs nothing of the engine. The validator
//! set carries the randomness of the block before and the validators to skip, for the engine draws
//! the proposer from the set, the height and the round alone.

use crate::chain::parts::Part;
use borsh::{BorshDeserialize, BorshSerialize, io};
use bytes::Bytes;
use malachitebft_core_types::{
    self as engine, LinearTimeouts, NilOrVal, SignedExtension, SigningScheme, VoteType, VotingPower,
};
use std::{collections::BTreeSet, fmt, sync::Arc};
use valo_protocol::{
    BlockId, Hash, PublicKey, SecretKey, Signature,
    vote::{self, VoteKind},
};

/// A validator's key, which is its address too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct Address(pub PublicKey);

/// A height of the chain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct Height(pub valo_protocol::Height);

/// What is decided: the id of a block. The block itself travels in parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct Value(pub BlockId);

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The engine compares this text with the hexadecimal of the key.
        fmt::Display::fmt(&self.0, formatter)
    }
}

impl fmt::Display for Height {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.short())
    }
}

impl engine::Address for Address {}

impl engine::Value for Value {
    type Id = Self;

    fn id(&self) -> Self {
        *self
    }
}

impl engine::Height for Height {
    const ZERO: Self = Self(valo_protocol::Height(0));
    const INITIAL: Self = Self(valo_protocol::Height(1));

    fn increment_by(&self, count: u64) -> Self {
        Self(valo_protocol::Height(self.0.0.saturating_add(count)))
    }

    fn decrement_by(&self, count: u64) -> Option<Self> {
        self.0.0.checked_sub(count).map(|height| Self(valo_protocol::Height(height)))
    }

    fn as_u64(&self) -> u64 {
        self.0.0
    }
}

/// A round as the protocol writes it; none for the engine's "no round".
pub fn round_of(round: engine::Round) -> Option<valo_protocol::Round> {
    round.as_u32().map(valo_protocol::Round)
}

/// A round as the engine writes it.
pub fn engine_round(round: valo_protocol::Round) -> engine::Round {
    engine::Round::new(round.0)
}

/// ed25519 as votes use it: verified one by one with the strict rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ed25519;

impl SigningScheme for Ed25519 {
    type DecodingError = String;
    type Signature = Signature;
    type PublicKey = PublicKey;
    type PrivateKey = SecretKey;

    fn decode_signature(bytes: &[u8]) -> Result<Signature, String> {
        bytes.try_into().map(Signature).map_err(|_| format!("a signature has 64 bytes, not {}", bytes.len()))
    }

    fn encode_signature(signature: &Signature) -> Vec<u8> {
        signature.0.to_vec()
    }

    fn decode_public_key(bytes: &[u8]) -> Result<PublicKey, String> {
        let key = bytes.try_into().map(PublicKey).map_err(|_| format!("a key has 32 bytes, not {}", bytes.len()))?;
        if key.is_usable() { Ok(key) } else { Err(format!("{key} is not a usable key")) }
    }

    fn encode_public_key(key: &PublicKey) -> Vec<u8> {
        key.0.to_vec()
    }
}

/// A member of a validator set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validator {
    address: Address,
    power: VotingPower,
}

impl engine::Validator<Context> for Validator {
    fn address(&self) -> &Address {
        &self.address
    }

    fn public_key(&self) -> &PublicKey {
        &self.address.0
    }

    fn voting_power(&self) -> VotingPower {
        self.power
    }
}

/// The validators of a height, with what their draw as proposers depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidatorSet(Arc<Drawable>);

#[derive(Debug, PartialEq, Eq)]
struct Drawable {
    members: Vec<Validator>,
    set: Arc<valo_protocol::ValidatorSet>,
    seed: Hash,
    skipped: BTreeSet<PublicKey>,
}

impl ValidatorSet {
    /// The validators of height h, with the randomness after h - 1 and the validators passed over at h.
    pub fn new(set: Arc<valo_protocol::ValidatorSet>, seed: Hash, skipped: BTreeSet<PublicKey>) -> Self {
        let members = set
            .validators()
            .iter()
            .map(|validator| Validator { address: Address(validator.key), power: validator.power })
            .collect();
        Self(Arc::new(Drawable { members, set, seed, skipped }))
    }

    /// The set as the protocol knows it.
    pub fn protocol(&self) -> &Arc<valo_protocol::ValidatorSet> {
        &self.0.set
    }
}

impl engine::ValidatorSet<Context> for ValidatorSet {
    fn count(&self) -> usize {
        self.0.members.len()
    }

    fn total_voting_power(&self) -> VotingPower {
        self.0.set.total_power()
    }

    fn get_by_address(&self, address: &Address) -> Option<&Validator> {
        let position = self.0.members.binary_search_by_key(address, |member| member.address).ok()?;
        self.0.members.get(position)
    }

    fn get_by_index(&self, index: usize) -> Option<&Validator> {
        self.0.members.get(index)
    }
}

/// A vote for a block, or for none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vote {
    kind: VoteType,
    height: Height,
    round: engine::Round,
    value: NilOrVal<Value>,
    validator: Address,
}

impl Vote {
    /// The vote as the protocol writes it. The engine votes in rounds from 0 only.
    pub fn protocol(&self) -> vote::Vote {
        vote::Vote {
            kind: match self.kind {
                VoteType::Prevote => VoteKind::Prevote,
                VoteType::Precommit => VoteKind::Precommit,
            },
            height: self.height.0,
            round: round_of(self.round).unwrap_or_default(),
            block: match self.value {
                NilOrVal::Nil => None,
                NilOrVal::Val(value) => Some(value.0),
            },
            validator: self.validator.0,
        }
    }
}

impl From<vote::Vote> for Vote {
    fn from(vote: vote::Vote) -> Self {
        Self {
            kind: match vote.kind {
                VoteKind::Prevote => VoteType::Prevote,
                VoteKind::Precommit => VoteType::Precommit,
            },
            height: Height(vote.height),
            round: engine_round(vote.round),
            value: vote.block.map_or(NilOrVal::Nil, |block| NilOrVal::Val(Value(block))),
            validator: Address(vote.validator),
        }
    }
}

impl engine::Vote<Context> for Vote {
    fn height(&self) -> Height {
        self.height
    }

    fn round(&self) -> engine::Round {
        self.round
    }

    fn value(&self) -> &NilOrVal<Value> {
        &self.value
    }

    fn take_value(self) -> NilOrVal<Value> {
        self.value
    }

    fn vote_type(&self) -> VoteType {
        self.kind
    }

    fn validator_address(&self) -> &Address {
        &self.validator
    }

    // Votes carry no extension: the engine is started with extensions disabled.
    fn extension(&self) -> Option<&SignedExtension<Context>> {
        None
    }

    fn take_extension(&mut self) -> Option<SignedExtension<Context>> {
        None
    }

    fn extend(self, _extension: SignedExtension<Context>) -> Self {
        self
    }
}

/// A proposal of a block in a round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    height: Height,
    round: engine::Round,
    value: Value,
    valid_round: engine::Round,
    proposer: Address,
}

impl Proposal {
    /// The proposal as the protocol writes it. The engine proposes in rounds from 0 only.
    pub fn protocol(&self) -> vote::Proposal {
        vote::Proposal {
            height: self.height.0,
            round: round_of(self.round).unwrap_or_default(),
            block: self.value.0,
            valid_round: round_of(self.valid_round),
            proposer: self.proposer.0,
        }
    }
}

impl From<vote::Proposal> for Proposal {
    fn from(proposal: vote::Proposal) -> Self {
        Self {
            height: Height(proposal.height),
            round: engine_round(proposal.round),
            value: Value(proposal.block),
            valid_round: proposal.valid_round.map_or(engine::Round::Nil, engine_round),
            proposer: Address(proposal.proposer),
        }
    }
}

impl engine::Proposal<Context> for Proposal {
    fn height(&self) -> Height {
        self.height
    }

    fn round(&self) -> engine::Round {
        self.round
    }

    fn value(&self) -> &Value {
        &self.value
    }

    fn take_value(self) -> Value {
        self.value
    }

    fn pol_round(&self) -> engine::Round {
        self.valid_round
    }

    fn validator_address(&self) -> &Address {
        &self.proposer
    }
}

impl engine::ProposalPart<Context> for Part {
    fn is_first(&self) -> bool {
        matches!(self, Self::Start { .. })
    }

    // The first part says how many bytes follow; no part says that it is the last.
    fn is_last(&self) -> bool {
        false
    }
}

// On the wire and in the write-ahead log both are what the protocol says they are.
macro_rules! encoded_as_protocol {
    ($name:ident, $protocol:ty) => {
        impl BorshSerialize for $name {
            fn serialize<W: io::Write>(&self, writer: &mut W) -> io::Result<()> {
                self.protocol().serialize(writer)
            }
        }

        impl BorshDeserialize for $name {
            fn deserialize_reader<R: io::Read>(reader: &mut R) -> io::Result<Self> {
                <$protocol>::deserialize_reader(reader).map(Self::from)
            }
        }
    };
}
encoded_as_protocol!(Vote, vote::Vote);
encoded_as_protocol!(Proposal, vote::Proposal);

/// Names all of the above for the engine.
#[derive(Debug, Clone, Copy)]
pub struct Context;

impl engine::Context for Context {
    type Address = Address;
    type Height = Height;
    type ProposalPart = Part;
    type Proposal = Proposal;
    type Validator = Validator;
    type ValidatorSet = ValidatorSet;
    type Timeouts = LinearTimeouts;
    type Value = Value;
    type Vote = Vote;
    type Extension = Bytes;
    type SigningScheme = Ed25519;

    fn select_proposer<'a>(&self, validators: &'a ValidatorSet, height: Height, round: engine::Round) -> &'a Validator {
        let Drawable { set, seed, skipped, members } = &*validators.0;
        let drawn = set.proposer(seed, skipped, height.0, round_of(round).unwrap_or_default());
        let member = drawn.and_then(|drawn| engine::ValidatorSet::get_by_address(validators, &Address(drawn.key)));
        match member.or_else(|| members.first()) {
            Some(member) => member,
            // `valo_protocol::ValidatorSet` cannot be made empty.
            None => unreachable!("a validator set has at least one member"),
        }
    }

    fn new_proposal(
        &self,
        height: Height,
        round: engine::Round,
        value: Value,
        valid_round: engine::Round,
        proposer: Address,
    ) -> Proposal {
        Proposal { height, round, value, valid_round, proposer }
    }

    fn new_prevote(&self, height: Height, round: engine::Round, value: NilOrVal<Value>, validator: Address) -> Vote {
        Vote { kind: VoteType::Prevote, height, round, value, validator }
    }

    fn new_precommit(&self, height: Height, round: engine::Round, value: NilOrVal<Value>, validator: Address) -> Vote {
        Vote { kind: VoteType::Precommit, height, round, value, validator }
    }
}

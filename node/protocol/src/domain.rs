//! Domain strings: the first bytes of whatever is signed or hashed, one for each purpose.
//! A change of meaning takes a new number at the end.

/// Signed bytes of a transaction: domain, genesis hash, body.
pub const TRANSACTION: &[u8] = b"valo/tx/1";
/// Signed bytes of a consensus vote.
pub const VOTE: &[u8] = b"valo/vote/1";
/// Signed bytes of a consensus proposal.
pub const PROPOSAL: &[u8] = b"valo/proposal/1";
/// Signed bytes by which a validator proves which network peer it is.
pub const VALIDATOR_PROOF: &[u8] = b"valo/validator-proof/1";
/// Hash of the genesis document.
pub const GENESIS: &[u8] = b"valo/genesis/1";
/// Hash of a block header.
pub const HEADER: &[u8] = b"valo/header/1";
/// Hash of a commit certificate.
pub const CERTIFICATE: &[u8] = b"valo/certificate/1";
/// Hash of a validator set.
pub const VALIDATORS: &[u8] = b"valo/validators/1";
/// Chained randomness.
pub const RANDOMNESS: &[u8] = b"valo/randomness/1";
/// VRF input of a block.
pub const VRF: &[u8] = b"valo/vrf/1";
/// Draw of a proposer.
pub const PROPOSER: &[u8] = b"valo/proposer/1";
/// Seed of the draw of a shard's workers.
pub const DRAW: &[u8] = b"valo/draw/1";
/// How long commits wait for others that cannot be drawn.
pub const HOLD: &[u8] = b"valo/hold/1";
/// A worker's commitment to a result.
pub const COMMIT: &[u8] = b"valo/commit/1";
/// Signed bytes of an owner's grant for a node.
pub const GRANT: &[u8] = b"valo/grant/1";
/// Hash of a job contract.
pub const CONTRACT: &[u8] = b"valo/contract/1";
/// Leaf of a Merkle tree.
pub const MERKLE_LEAF: u8 = 0;
/// Inner node of a Merkle tree.
pub const MERKLE_NODE: u8 = 1;
/// The state root over all tables.
pub const STATE: &[u8] = b"valo/state/1";

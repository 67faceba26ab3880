//! Grants: an owner's signed permission for one node to join in its name.
//!
//! Signed bytes: `"valo/grant/1" || genesis hash || borsh(Grant)`. The chain is signed but not sent, as with transactions.
//! A grant moves no money: whoever sends it in pays the stake, which belongs to the owner from then on. So a grant that
//! is sent in a second time, after its node has left and before it expires, harms nobody but the sender.

use crate::{
    AccountNumber, Amount, domain,
    encoding::encode,
    hash::GenesisHash,
    keys::{PublicKey, SecretKey, Signature},
    registry::{Endpoints, NodeRole},
    time::Timestamp,
};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

/// What an owner permits.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Grant {
    /// The account that signs this, and to which the stake belongs.
    pub owner: AccountNumber,
    /// The node's key: it signs the node's messages, and never its owner's.
    pub node: PublicKey,
    /// What it shall do.
    pub role: NodeRole,
    /// Bonded for it when it registers.
    pub stake: Amount,
    /// Where it is reached.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schema(value_type = Vec<String>))]
    pub endpoints: Endpoints,
    /// Block time after which this permits nothing.
    pub expires: Timestamp,
}

/// A grant with its owner's signature.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SignedGrant {
    /// What is permitted.
    pub grant: Grant,
    /// By the key of the owner's account.
    pub signature: Signature,
}

impl Grant {
    /// The bytes that are signed.
    pub fn signed_bytes(&self, genesis: &GenesisHash) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(domain::GRANT);
        bytes.extend_from_slice(genesis.as_bytes());
        bytes.extend_from_slice(&encode(self));
        bytes
    }

    /// Signs for a chain, with the key of the owner's account.
    pub fn sign(self, genesis: &GenesisHash, key: &SecretKey) -> SignedGrant {
        let signature = key.sign(&self.signed_bytes(genesis));
        SignedGrant { grant: self, signature }
    }
}

impl SignedGrant {
    /// Whether it is signed by the key for a chain.
    pub fn verify(&self, genesis: &GenesisHash, key: &PublicKey) -> bool {
        key.verify(&self.grant.signed_bytes(genesis), &self.signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::BoundedVec;

    #[test]
    fn a_grant_is_for_one_chain_by_one_key_and_as_it_was_signed() {
        let (owner, other) = (SecretKey::from_seed([1; 32]), SecretKey::from_seed([2; 32]));
        let (chain, elsewhere) = (GenesisHash([3; 32]), GenesisHash([4; 32]));
        let grant = Grant {
            owner: AccountNumber::new(7).unwrap(),
            node: SecretKey::from_seed([5; 32]).public(),
            role: NodeRole::Validator,
            stake: Amount::from_valo(10).unwrap(),
            endpoints: BoundedVec::default(),
            expires: Timestamp(9),
        };
        let signed = grant.clone().sign(&chain, &owner);
        assert!(signed.verify(&chain, &owner.public()));
        assert!(!signed.verify(&elsewhere, &owner.public()));
        assert!(!signed.verify(&chain, &other.public()));
        let changed = SignedGrant { grant: Grant { expires: Timestamp(10), ..grant }, ..signed };
        assert!(!changed.verify(&chain, &owner.public()));
    }
}

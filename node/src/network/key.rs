//! Node keys and iroh identities.
//!
//! A node has one ed25519 key: it signs the node's work on chain and it is the node's identity in
//! iroh, so that "who is this connection" and "who is this node on chain" are the same question.

use iroh::EndpointId;
use valo_protocol::PublicKey;

/// The key behind an authenticated connection.
pub(crate) fn from_endpoint_id(id: EndpointId) -> PublicKey {
    PublicKey(*id.as_bytes())
}

/// The identity to dial, or `None` when the bytes are no point of the curve.
pub(crate) fn to_endpoint_id(key: &PublicKey) -> Option<EndpointId> {
    EndpointId::from_bytes(&key.0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_on_chain_is_the_identity_of_the_connection() {
        let seed = [7; 32];
        let on_chain = valo_protocol::SecretKey::from_seed(seed).public();
        let identity = iroh::SecretKey::from_bytes(&seed).public();
        assert_eq!(from_endpoint_id(identity), on_chain);
        assert_eq!(to_endpoint_id(&on_chain), Some(identity));
    }
}

//! Keys in Secrets: made once, never overwritten, read strictly.

use crate::names::{self, Labels};
use k8s_openapi::{ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::ResourceExt;
use valo_protocol::SecretKey;
use zeroize::Zeroizing;

/// The key of a Secret's data under which a seed lies, unless a reference says another.
pub const DATA_KEY: &str = "key";

/// Why a Secret holds no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Nothing under that name.
    #[error("Secret {secret} has nothing under `{key}`")]
    Missing {
        /// The Secret.
        secret: String,
        /// The key of its data.
        key: String,
    },
    /// Something else.
    #[error("Secret {secret} holds no ed25519 seed under `{key}`: it takes 64 hexadecimal characters")]
    Malformed {
        /// The Secret.
        secret: String,
        /// The key of its data.
        key: String,
    },
}

/// Reads a key.
pub fn read(secret: &Secret, key: &str) -> Result<SecretKey, KeyError> {
    let name = || (secret.name_any(), key.to_owned());
    let data = secret.data.as_ref().and_then(|data| data.get(key)).ok_or_else(|| {
        let (secret, key) = name();
        KeyError::Missing { secret, key }
    })?;
    let mut seed = Zeroizing::new([0u8; 32]);
    hex::decode_to_slice(data.0.trim_ascii(), seed.as_mut_slice()).map_err(|_| {
        let (secret, key) = name();
        KeyError::Malformed { secret, key }
    })?;
    Ok(SecretKey::from_seed(*seed))
}

/// A Secret with a key, which nobody can change any more. It has no owner: what the key owns would be lost with it.
pub fn secret(namespace: &str, name: &str, labels: Labels, key: &SecretKey) -> Secret {
    Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(namespace.to_owned()),
            labels: Some(labels),
            annotations: Some([(names::PUBLIC_KEY.to_owned(), key.public().to_string())].into()),
            ..ObjectMeta::default()
        },
        immutable: Some(true),
        type_: Some("Opaque".to_owned()),
        data: Some([(DATA_KEY.to_owned(), ByteString(hex::encode(key.seed()).into_bytes()))].into()),
        ..Secret::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_written() {
        let key = SecretKey::from_seed([7; 32]);
        let made = secret("valo", "alice", names::labels(&[]), &key);
        assert_eq!(read(&made, DATA_KEY).unwrap().public(), key.public());
        assert_eq!(made.immutable, Some(true));
        assert!(made.metadata.owner_references.is_none(), "it outlives whatever uses it");
    }

    #[test]
    fn what_is_no_key_is_named() {
        let mut other = secret("valo", "alice", names::labels(&[]), &SecretKey::from_seed([7; 32]));
        assert_eq!(read(&other, "seed").unwrap_err().to_string(), "Secret alice has nothing under `seed`");
        other.data = Some([("key".to_owned(), ByteString(b"abc".to_vec()))].into());
        assert!(read(&other, "key").unwrap_err().to_string().contains("64 hexadecimal"));
    }
}

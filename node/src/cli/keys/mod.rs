//! Keys of the user: how they are kept, and how a command gets the one it signs with.

mod file;
mod passphrase;
mod store;

pub use file::{Cost, KeyFile, KeyFileError};
pub use passphrase::{PassphraseError, Passphrases};
pub use store::{KeyStore, StoreError, read_key_file, write_new};

use valo_protocol::SecretKey;

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its file is not there or not usable.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no passphrase for it.
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
    /// The file does not give the key.
    #[error("key `{name}`: {source}")]
    File {
        /// Name of the key.
        name: String,
        /// Why.
        source: KeyFileError,
    },
}

/// Opens a key by name, asking for its passphrase if it has one.
pub fn open(store: &KeyStore, name: &str, passphrases: &Passphrases) -> Result<SecretKey, OpenError> {
    enum Inner {
        Passphrase(PassphraseError),
        File(KeyFileError),
    }
    impl From<KeyFileError> for Inner {
        fn from(error: KeyFileError) -> Self {
            Self::File(error)
        }
    }
    let file = store.read(name)?;
    file.open(|| passphrases.existing(name).map_err(Inner::Passphrase)).map_err(|error| match error {
        Inner::Passphrase(error) => OpenError::Passphrase(error),
        Inner::File(source) => OpenError::File { name: name.to_owned(), source },
    })
}

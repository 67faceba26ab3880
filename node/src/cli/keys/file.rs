//! A key as a file: JSON with a version, the public key, and the seed either sealed with a passphrase or plain.
//!
//! Sealed: ChaCha20-Poly1305 (RFC 8439) under a key that Argon2id (RFC 9106) makes of the passphrase; the public key
//! is authenticated with it. A checksum over everything else tells a damaged file from a wrong passphrase.
//! ```json
//! {"version": 1, "publicKey": "...", "seed": {"sealed": {"memoryKib": 65536, "passes": 3, "lanes": 1,
//!  "salt": "...", "nonce": "...", "ciphertext": "..."}}, "checksum": "..."}
//! ```

use chacha20poly1305::{
    ChaCha20Poly1305,
    aead::{Aead, KeyInit, Payload},
};
use serde::{Deserialize, Serialize};
use valo_protocol::{Hash, PublicKey, SecretKey};
use zeroize::Zeroizing;

/// The present version of the format.
const VERSION: u8 = 1;
/// First bytes of what the checksum covers.
const CHECKSUM: &[u8] = b"valo/key-file/1";
/// The most that a file may ask of Argon2: more is an attack or damage.
const MAX_MEMORY_KIB: u32 = 1 << 20;
const MAX_PASSES: u32 = 64;
const MAX_LANES: u32 = 16;

/// Why a key file gives no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyFileError {
    /// Not a key file.
    #[error("it is not a key file: {0}")]
    Malformed(String),
    /// A later version.
    #[error("it has version {0}, and this program reads up to {VERSION}; upgrade it")]
    Version(u8),
    /// Contents that do not belong together.
    #[error("it is damaged: its checksum is wrong; import the key again from a copy")]
    Damaged,
    /// A seed that the passphrase does not open.
    #[error("wrong passphrase")]
    WrongPassphrase,
    /// Parameters outside what is sensible.
    #[error("it asks for unusual Argon2 parameters ({0})")]
    Parameters(String),
    /// Sealing failed.
    #[error("cannot seal the key: {0}")]
    Seal(String),
}

/// A key in its file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeyFile {
    version: u8,
    public_key: PublicKey,
    seed: Seed,
    checksum: Hash,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
enum Seed {
    Sealed(Sealed),
    Plain(PlainSeed),
}

/// A seed that never shows in debug output.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
struct PlainSeed(String);

impl std::fmt::Debug for PlainSeed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("PlainSeed")
    }
}

impl Drop for PlainSeed {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.0);
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Sealed {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    #[serde(with = "hex")]
    salt: [u8; 16],
    #[serde(with = "hex")]
    nonce: [u8; 12],
    #[serde(with = "hex")]
    ciphertext: Vec<u8>,
}

/// What guessing a passphrase costs.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
}

impl Cost {
    /// The second recommendation of RFC 9106, section 4: 64 MiB, three passes.
    pub const STANDARD: Self = Self { memory_kib: 64 * 1024, passes: 3 };
}

impl KeyFile {
    /// A file that holds the key as it is. Whoever reads it can spend.
    pub fn plain(key: &SecretKey) -> Self {
        Self::assemble(key.public(), Seed::Plain(PlainSeed(hex::encode(key.seed()))))
    }

    /// A file that needs a passphrase.
    pub fn sealed(key: &SecretKey, passphrase: &str, cost: Cost) -> Result<Self, KeyFileError> {
        let (mut salt, mut nonce) = ([0u8; 16], [0u8; 12]);
        let entropy = |error: getrandom::Error| KeyFileError::Seal(error.to_string());
        getrandom::fill(&mut salt).map_err(entropy)?;
        getrandom::fill(&mut nonce).map_err(entropy)?;
        let mut sealed =
            Sealed { memory_kib: cost.memory_kib, passes: cost.passes, lanes: 1, salt, nonce, ciphertext: Vec::new() };
        let public = key.public();
        sealed.ciphertext = sealed
            .cipher(passphrase)?
            .encrypt(&nonce.into(), Payload { msg: key.seed(), aad: &public.0 })
            .map_err(|_| KeyFileError::Seal("encryption failed".to_owned()))?;
        Ok(Self::assemble(public, Seed::Sealed(sealed)))
    }

    fn assemble(public_key: PublicKey, seed: Seed) -> Self {
        let mut file = Self { version: VERSION, public_key, seed, checksum: Hash::default() };
        file.checksum = file.sum();
        file
    }

    /// Reads a file's text.
    pub fn parse(text: &str) -> Result<Self, KeyFileError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u8,
        }
        let malformed = |error: serde_json::Error| KeyFileError::Malformed(error.to_string());
        let version = serde_json::from_str::<Versioned>(text).map_err(malformed)?.version;
        if version != VERSION {
            return Err(KeyFileError::Version(version));
        }
        let file: Self = serde_json::from_str(text).map_err(malformed)?;
        if file.sum() != file.checksum {
            return Err(KeyFileError::Damaged);
        }
        Ok(file)
    }

    /// The file's text.
    pub fn to_text(&self) -> Result<Zeroizing<String>, KeyFileError> {
        let mut text = serde_json::to_string_pretty(self).map_err(|error| KeyFileError::Seal(error.to_string()))?;
        text.push('\n');
        Ok(Zeroizing::new(text))
    }

    /// Whose key it is.
    pub fn public(&self) -> PublicKey {
        self.public_key
    }

    /// Whether it needs a passphrase.
    pub fn is_sealed(&self) -> bool {
        matches!(self.seed, Seed::Sealed(_))
    }

    /// The key. The passphrase is asked for only when the file needs one.
    pub fn open<E: From<KeyFileError>>(
        &self,
        passphrase: impl FnOnce() -> Result<Zeroizing<String>, E>,
    ) -> Result<SecretKey, E> {
        let seed = match &self.seed {
            Seed::Plain(seed) => {
                let mut bytes = Zeroizing::new([0u8; 32]);
                hex::decode_to_slice(&seed.0, bytes.as_mut_slice()).map_err(|_| KeyFileError::Damaged)?;
                bytes
            }
            Seed::Sealed(sealed) => sealed.open(&passphrase()?, &self.public_key)?,
        };
        let key = SecretKey::from_seed(*seed);
        if key.public() != self.public_key {
            return Err(KeyFileError::Damaged.into());
        }
        Ok(key)
    }

    /// The checksum that belongs to the contents.
    fn sum(&self) -> Hash {
        let seed = match &self.seed {
            Seed::Plain(seed) => Zeroizing::new(seed.0.clone().into_bytes()),
            Seed::Sealed(sealed) => {
                let mut bytes = Vec::new();
                for number in [sealed.memory_kib, sealed.passes, sealed.lanes] {
                    bytes.extend_from_slice(&number.to_le_bytes());
                }
                bytes.extend_from_slice(&sealed.salt);
                bytes.extend_from_slice(&sealed.nonce);
                bytes.extend_from_slice(&sealed.ciphertext);
                Zeroizing::new(bytes)
            }
        };
        Hash::of(CHECKSUM, &[&[self.version, u8::from(self.is_sealed())], &self.public_key.0, &seed])
    }
}

impl Sealed {
    fn cipher(&self, passphrase: &str) -> Result<ChaCha20Poly1305, KeyFileError> {
        let parameters = format!("{} KiB, {} passes, {} lanes", self.memory_kib, self.passes, self.lanes);
        if self.memory_kib > MAX_MEMORY_KIB || self.passes > MAX_PASSES || self.lanes > MAX_LANES {
            return Err(KeyFileError::Parameters(parameters));
        }
        let argon = argon2::Params::new(self.memory_kib, self.passes, self.lanes, Some(32))
            .map_err(|error| KeyFileError::Parameters(format!("{parameters}: {error}")))?;
        let mut key = Zeroizing::new([0u8; 32]);
        argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, argon)
            .hash_password_into(passphrase.as_bytes(), &self.salt, key.as_mut_slice())
            .map_err(|error| KeyFileError::Parameters(format!("{parameters}: {error}")))?;
        Ok(ChaCha20Poly1305::new((&*key).into()))
    }

    fn open(&self, passphrase: &str, public: &PublicKey) -> Result<Zeroizing<[u8; 32]>, KeyFileError> {
        let opened = self
            .cipher(passphrase)?
            .decrypt(&self.nonce.into(), Payload { msg: &self.ciphertext, aad: &public.0 })
            .map_err(|_| KeyFileError::WrongPassphrase)?;
        let opened = Zeroizing::new(opened);
        let seed: [u8; 32] = opened.as_slice().try_into().map_err(|_| KeyFileError::Damaged)?;
        Ok(Zeroizing::new(seed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CHEAP: Cost = Cost { memory_kib: 8, passes: 1 };

    fn key() -> SecretKey {
        SecretKey::from_seed([7; 32])
    }

    fn open(file: &KeyFile, passphrase: &str) -> Result<SecretKey, KeyFileError> {
        file.open(|| Ok(Zeroizing::new(passphrase.to_owned())))
    }

    #[test]
    fn sealed_round_trip() {
        let file = KeyFile::sealed(&key(), "correct horse", CHEAP).unwrap();
        let text = file.to_text().unwrap();
        assert!(!text.contains(&hex::encode([7u8; 32])), "the seed does not show");
        let read = KeyFile::parse(&text).unwrap();
        assert!(read.is_sealed());
        assert_eq!(open(&read, "correct horse").unwrap().seed(), &[7; 32]);
        assert_eq!(open(&read, "wrong horse").unwrap_err(), KeyFileError::WrongPassphrase);
    }

    #[test]
    fn plain_round_trip_asks_for_nothing() {
        let text = KeyFile::plain(&key()).to_text().unwrap();
        let read = KeyFile::parse(&text).unwrap();
        let opened = read.open(|| Err(KeyFileError::Malformed("asked".to_owned()))).unwrap();
        assert_eq!(opened.public(), key().public());
        assert!(!format!("{read:?}").contains("0707"), "debug output hides the seed");
    }

    #[test]
    fn the_standard_cost_works() {
        let file = KeyFile::sealed(&key(), "", Cost::STANDARD).unwrap();
        assert_eq!(open(&file, "").unwrap().public(), key().public());
    }

    #[test]
    fn damage_is_told_from_a_wrong_passphrase() {
        let text = KeyFile::sealed(&key(), "p", CHEAP).unwrap().to_text().unwrap();
        let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
        value["seed"]["sealed"]["ciphertext"] = "00".repeat(48).into();
        assert_eq!(KeyFile::parse(&value.to_string()).unwrap_err(), KeyFileError::Damaged);
        value["version"] = 2.into();
        assert_eq!(KeyFile::parse(&value.to_string()).unwrap_err(), KeyFileError::Version(2));
        assert!(matches!(KeyFile::parse("{}"), Err(KeyFileError::Malformed(_))));
        assert!(matches!(KeyFile::parse(&text[..80]), Err(KeyFileError::Malformed(_))));
    }

    #[test]
    fn a_file_cannot_make_us_fill_the_memory() {
        let mut file = KeyFile::sealed(&key(), "p", CHEAP).unwrap();
        if let Seed::Sealed(sealed) = &mut file.seed {
            sealed.memory_kib = u32::MAX;
        }
        file.checksum = file.sum();
        let read = KeyFile::parse(&file.to_text().unwrap()).unwrap();
        assert!(matches!(open(&read, "p"), Err(KeyFileError::Parameters(_))));
    }

    #[test]
    fn anothers_public_key_is_refused() {
        let mut file = KeyFile::sealed(&key(), "p", CHEAP).unwrap();
        file.public_key = SecretKey::from_seed([8; 32]).public();
        file.checksum = file.sum();
        assert!(open(&file, "p").is_err());
        let mut file = KeyFile::plain(&key());
        file.public_key = SecretKey::from_seed([8; 32]).public();
        file.checksum = file.sum();
        assert_eq!(open(&file, "p").unwrap_err(), KeyFileError::Damaged);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
        #[test]
        fn any_key_and_passphrase_round_trip(seed: [u8; 32], passphrase in "\\PC{0,30}") {
            let key = SecretKey::from_seed(seed);
            let text = KeyFile::sealed(&key, &passphrase, CHEAP).unwrap().to_text().unwrap();
            let opened = open(&KeyFile::parse(&text).unwrap(), &passphrase).unwrap();
            prop_assert_eq!(opened.seed(), &seed);
        }

        #[test]
        fn a_damaged_file_never_opens_as_another_key(text in valo_mutation::damaged_text(texts())) {
            if let Ok(file) = KeyFile::parse(&text)
                && let Ok(opened) = open(&file, "p")
            {
                prop_assert_eq!(opened.public(), key().public());
            }
        }
    }

    fn texts() -> Vec<String> {
        let files = [KeyFile::plain(&key()), KeyFile::sealed(&key(), "p", CHEAP).unwrap()];
        files.iter().map(|file| file.to_text().unwrap().to_string()).collect()
    }
}

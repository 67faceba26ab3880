//! Where passphrases come from: `--passphrase-file`, `VALO_PASSPHRASE`, or a prompt on the terminal.

use crate::bounded::Kind;
use std::{
    io::{self, IsTerminal},
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// Name of the variable that may hold the passphrase.
pub const VARIABLE: &str = "VALO_PASSPHRASE";

/// Why there is no passphrase.
#[derive(Debug, thiserror::Error)]
pub enum PassphraseError {
    /// Nobody to ask.
    #[error("a passphrase is needed and there is no terminal to ask at; set {VARIABLE} or give --passphrase-file")]
    NoTerminal,
    /// Reading the file failed.
    #[error("cannot read the passphrase from {path}: {source}")]
    File {
        /// Which file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// Reading from the terminal failed.
    #[error("cannot read the passphrase: {0}")]
    Prompt(io::Error),
    /// The two did not match.
    #[error("the passphrases differ; nothing was written")]
    Differ,
    /// Nothing was given.
    #[error("an empty passphrase protects nothing; give one, or choose --plain")]
    Empty,
}

/// Where to take passphrases from.
#[derive(Debug, Clone, Default)]
pub struct Passphrases {
    file: Option<PathBuf>,
}

impl Passphrases {
    /// From a file if there is one, else from the environment or the terminal.
    pub fn new(file: Option<PathBuf>) -> Self {
        Self { file }
    }

    /// The passphrase of a key that is there.
    pub fn existing(&self, name: &str) -> Result<Zeroizing<String>, PassphraseError> {
        match self.given()? {
            Some(passphrase) => Ok(passphrase),
            None => prompt(&format!("Passphrase of key `{name}`: ")),
        }
    }

    /// A passphrase for a new key: on a terminal it is asked for twice.
    pub fn new_one(&self, name: &str) -> Result<Zeroizing<String>, PassphraseError> {
        let passphrase = match self.given()? {
            Some(passphrase) => passphrase,
            None => {
                let first = prompt(&format!("New passphrase for key `{name}`: "))?;
                let second = prompt("Once more: ")?;
                if first != second {
                    return Err(PassphraseError::Differ);
                }
                first
            }
        };
        if passphrase.is_empty() {
            return Err(PassphraseError::Empty);
        }
        Ok(passphrase)
    }

    fn given(&self) -> Result<Option<Zeroizing<String>>, PassphraseError> {
        if let Some(path) = &self.file {
            return read_file(path).map(Some);
        }
        Ok(std::env::var(VARIABLE).ok().map(Zeroizing::new))
    }
}

/// The first line of a file, without its end.
fn read_file(path: &Path) -> Result<Zeroizing<String>, PassphraseError> {
    let text = Kind::PASSPHRASE
        .text(path)
        .map_err(|source| PassphraseError::File { path: path.display().to_string(), source })?;
    let text = Zeroizing::new(text);
    Ok(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()))
}

fn prompt(question: &str) -> Result<Zeroizing<String>, PassphraseError> {
    if !io::stdin().is_terminal() {
        return Err(PassphraseError::NoTerminal);
    }
    rpassword::prompt_password(question).map(Zeroizing::new).map_err(PassphraseError::Prompt)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_file_gives_its_first_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "two words\nignored\n").unwrap();
        let passphrases = Passphrases::new(Some(file.path().to_owned()));
        assert_eq!(*passphrases.existing("a").unwrap(), "two words");
        fs::write(file.path(), "\n").unwrap();
        assert!(matches!(passphrases.new_one("a"), Err(PassphraseError::Empty)));
        let missing = Passphrases::new(Some(PathBuf::from("no/such/file")));
        assert!(missing.existing("a").unwrap_err().to_string().contains("no/such/file"));
    }
}

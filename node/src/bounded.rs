//! Files that a user names, read up to a bound: a device without end, or a file of another kind, is one line and
//! does not fill the memory.

use crate::human;
use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};
use valo_protocol::transaction::MAX_TRANSACTION;

/// What a file should hold, and the most bytes that it can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    name: &'static str,
    most: u64,
}

impl Kind {
    /// The key of a user or a node.
    pub const KEY: Self = Self { name: "a key", most: 64 << 10 };
    /// A passphrase: the first line of its file.
    pub const PASSPHRASE: Self = Self { name: "the file of a passphrase", most: 64 << 10 };
    /// A grant to join.
    pub const GRANT: Self = Self { name: "a grant", most: 64 << 10 };
    /// A signed transaction.
    pub const TRANSACTION: Self = Self { name: "a transaction", most: MAX_TRANSACTION as u64 };
    /// What a node or the command line is told.
    pub const CONFIGURATION: Self = Self { name: "a configuration", most: 4 << 20 };
    /// What a chain starts from, or the description of it: a million accounts fit.
    pub const GENESIS: Self = Self { name: "a genesis document", most: 256 << 20 };

    /// Reads a file of this kind.
    ///
    /// # Errors
    /// What the system says; [`io::ErrorKind::FileTooLarge`] for a longer file, [`io::ErrorKind::InvalidData`] for one
    /// that is no text. The file is not named in it.
    pub fn text(self, path: &Path) -> io::Result<String> {
        String::from_utf8(self.bytes(path)?)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text"))
    }

    /// Reads a file of this kind, text or not.
    ///
    /// # Errors
    /// As [`Self::text`].
    pub fn bytes(self, path: &Path) -> io::Result<Vec<u8>> {
        let file = File::open(path)?;
        let length = file.metadata()?.len().min(self.most);
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default().saturating_add(1));
        file.take(self.most.saturating_add(1)).read_to_end(&mut bytes)?;
        if u64::try_from(bytes.len()).is_ok_and(|length| length <= self.most) {
            return Ok(bytes);
        }
        let reason = format!("it has more than {}, the most that {} has", human::size(self.most), self.name);
        Err(io::Error::new(io::ErrorKind::FileTooLarge, reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_bound() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let most = usize::try_from(Kind::KEY.most).unwrap();
        std::fs::write(file.path(), "k".repeat(most)).unwrap();
        assert_eq!(Kind::KEY.text(file.path()).unwrap().len(), most);
        std::fs::write(file.path(), "k".repeat(most + 1)).unwrap();
        let error = Kind::KEY.text(file.path()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(error.to_string(), "it has more than 64 KiB, the most that a key has");
        let endless = Kind::TRANSACTION.bytes(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(endless.to_string(), "it has more than 66 KiB, the most that a transaction has");
        std::fs::write(file.path(), [0xff]).unwrap();
        assert_eq!(Kind::KEY.text(file.path()).unwrap_err().to_string(), "it is not UTF-8 text");
    }
}

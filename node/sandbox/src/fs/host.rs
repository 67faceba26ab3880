//! Reading inputs, piece by piece, from the host's files.
//!
//! A program may open a thousand inputs; the host's descriptors are few and shared with the rest
//! of the node. So a file is opened again when it is needed, and the handful used last stay open.

use std::{fs::File, io, os::unix::fs::FileExt, sync::Arc};

use valo_protocol::BlobHash;

use super::tree::{Content, Fault, NodeId, Tree};
use crate::{
    failure::LocalFailure,
    request::{InputFile, ModuleSource, Source},
    wasi::abi::Errno,
};

const KEPT_OPEN: usize = 8;

#[derive(Debug)]
pub(crate) struct Input {
    name: String,
    size: u64,
    hash: Option<BlobHash>,
    source: Source,
    verified: bool,
}

impl Input {
    pub(super) fn new(file: &InputFile) -> Input {
        Input {
            name: format!("input {}", file.path),
            size: file.size,
            hash: file.hash,
            source: file.source.clone(),
            verified: file.hash.is_none(),
        }
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }
}

/// The host's files used last.
#[derive(Debug, Default)]
pub(crate) struct OpenFiles {
    recent: Vec<(NodeId, Arc<File>)>,
}

impl OpenFiles {
    fn get(&mut self, id: NodeId, open: impl FnOnce() -> io::Result<File>) -> io::Result<Arc<File>> {
        if let Some(at) = self.recent.iter().position(|(known, _)| *known == id) {
            let found = self.recent.remove(at);
            let file = found.1.clone();
            self.recent.push(found);
            return Ok(file);
        }
        let file = Arc::new(open()?);
        if self.recent.len() >= KEPT_OPEN {
            self.recent.remove(0);
        }
        self.recent.push((id, file.clone()));
        Ok(file)
    }
}

impl Tree {
    /// Bytes that a read of at most `length` at `offset` gives.
    pub(crate) fn readable(&self, id: NodeId, offset: u64, length: u64) -> Result<u64, Errno> {
        Ok(self.status(id)?.size.saturating_sub(offset).min(length))
    }

    /// Fills as much of `buffer` as there are bytes from `offset` on, and says how many that were.
    pub(crate) fn read(
        &mut self,
        files: &mut OpenFiles,
        id: NodeId,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<usize, Fault> {
        let length = self.readable(id, offset, buffer.len() as u64)?;
        let length = usize::try_from(length).map_err(|_| Errno::Invalid)?;
        let Some(buffer) = buffer.get_mut(..length) else { return Err(Errno::Invalid.into()) };
        if length == 0 {
            return Ok(0);
        }
        match &mut self.node_mut(id)?.content {
            Content::Directory(_) => return Err(Errno::IsDirectory.into()),
            Content::Output(contents) => copy_from(contents, offset, buffer).ok_or(Errno::Invalid)?,
            Content::Input(input) => input.read(files, id, offset, buffer)?,
        }
        Ok(length)
    }

    /// Reads an input through once and compares its hash, the first time it is opened.
    pub(crate) fn verify_input(&mut self, id: NodeId) -> Result<(), Fault> {
        if let Content::Input(input) = &mut self.node_mut(id)?.content {
            input.verify()?;
        }
        Ok(())
    }
}

impl Input {
    fn read(&self, files: &mut OpenFiles, id: NodeId, offset: u64, buffer: &mut [u8]) -> Result<(), LocalFailure> {
        match &self.source {
            Source::Bytes(bytes) => copy_from(bytes, offset, buffer)
                .ok_or_else(|| self.source.failed(&self.name, io::ErrorKind::UnexpectedEof.into())),
            Source::Path(path) => files
                .get(id, || File::open(path))
                .and_then(|file| file.read_exact_at(buffer, offset))
                .map_err(|error| self.source.failed(&self.name, error)),
        }
    }

    fn verify(&mut self) -> Result<(), LocalFailure> {
        if let Some(expected) = self.hash
            && !self.verified
        {
            let (size, hash) = self.source.measure().map_err(|error| self.source.failed(&self.name, error))?;
            if size != self.size || hash != expected {
                return Err(LocalFailure::Damaged { what: self.name.clone(), expected });
            }
        }
        self.verified = true;
        Ok(())
    }
}

fn copy_from(bytes: &[u8], offset: u64, buffer: &mut [u8]) -> Option<()> {
    let start = usize::try_from(offset).ok()?;
    buffer.copy_from_slice(bytes.get(start..)?.get(..buffer.len())?);
    Some(())
}

impl Source {
    fn failed(&self, what: &str, error: io::Error) -> LocalFailure {
        let path = match self {
            Source::Path(path) => path.clone(),
            Source::Bytes(_) => "memory".into(),
        };
        LocalFailure::HostIo { what: what.to_string(), path, error: Arc::new(error) }
    }

    fn measure(&self) -> io::Result<(u64, BlobHash)> {
        match self {
            Source::Bytes(bytes) => Ok((bytes.len() as u64, BlobHash::of(bytes))),
            Source::Path(path) => {
                let mut hasher = blake3::Hasher::new();
                hasher.update_reader(File::open(path)?)?;
                Ok((hasher.count(), hasher.finalize().into()))
            }
        }
    }
}

impl ModuleSource {
    /// Reads the module and checks its hash; `None` when it is longer than `bound`.
    pub(crate) fn read(&self, bound: u64) -> Result<Option<Vec<u8>>, LocalFailure> {
        let failed = |error| self.source.failed("the module", error);
        let damaged = LocalFailure::Damaged { what: "the module".into(), expected: self.hash };
        let length = match &self.source {
            Source::Bytes(bytes) => bytes.len() as u64,
            Source::Path(path) => std::fs::metadata(path).map_err(failed)?.len(),
        };
        // Whether it is too long is a verdict, so it must be the right file that is.
        if length > bound {
            let (_, hash) = self.source.measure().map_err(failed)?;
            return if hash == self.hash { Ok(None) } else { Err(damaged) };
        }
        let bytes = match &self.source {
            Source::Bytes(bytes) => bytes.to_vec(),
            Source::Path(path) => std::fs::read(path).map_err(failed)?,
        };
        if BlobHash::of(&bytes) == self.hash { Ok(Some(bytes)) } else { Err(damaged) }
    }
}

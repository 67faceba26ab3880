//! The table of open descriptors. The lowest free number is given out, as POSIX has it.

use super::{listing::Cursor, tree::NodeId};
use crate::wasi::abi::Errno;

/// Descriptors a program may have open at once.
pub(crate) const MAXIMUM_DESCRIPTORS: usize = 1_024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogStream {
    Output,
    Error,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OpenFile {
    pub(crate) node: NodeId,
    pub(crate) position: u64,
    pub(crate) read: bool,
    pub(crate) write: bool,
    pub(crate) flags: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Directory {
    pub(crate) node: NodeId,
    /// The path under which a preopened directory is announced.
    pub(crate) preopened: Option<&'static str>,
    pub(crate) cursor: Option<Cursor>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Descriptor {
    /// Standard input, always at its end.
    Empty,
    Log(LogStream),
    File(OpenFile),
    Directory(Directory),
}

impl Descriptor {
    pub(crate) fn node(&self) -> Option<NodeId> {
        match self {
            Descriptor::File(file) => Some(file.node),
            Descriptor::Directory(directory) => Some(directory.node),
            Descriptor::Empty | Descriptor::Log(_) => None,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Descriptors {
    slots: Vec<Option<Descriptor>>,
}

impl Descriptors {
    fn index(number: u32) -> Result<usize, Errno> {
        usize::try_from(number).map_err(|_| Errno::BadDescriptor)
    }

    pub(crate) fn has_room(&self) -> bool {
        self.slots.len() < MAXIMUM_DESCRIPTORS || self.slots.iter().any(Option::is_none)
    }

    pub(crate) fn add(&mut self, descriptor: Descriptor) -> Result<u32, Errno> {
        let free = self.slots.iter().position(Option::is_none);
        let at = free.unwrap_or(self.slots.len());
        if at >= MAXIMUM_DESCRIPTORS {
            return Err(Errno::TooManyOpen);
        }
        let number = u32::try_from(at).map_err(|_| Errno::TooManyOpen)?;
        match self.slots.get_mut(at) {
            Some(slot) => *slot = Some(descriptor),
            None => self.slots.push(Some(descriptor)),
        }
        Ok(number)
    }

    pub(crate) fn get(&self, number: u32) -> Result<&Descriptor, Errno> {
        self.slots.get(Self::index(number)?).and_then(Option::as_ref).ok_or(Errno::BadDescriptor)
    }

    pub(crate) fn get_mut(&mut self, number: u32) -> Result<&mut Descriptor, Errno> {
        self.slots.get_mut(Self::index(number)?).and_then(Option::as_mut).ok_or(Errno::BadDescriptor)
    }

    pub(crate) fn remove(&mut self, number: u32) -> Result<Descriptor, Errno> {
        self.slots.get_mut(Self::index(number)?).and_then(Option::take).ok_or(Errno::BadDescriptor)
    }

    /// Puts the descriptor `from` in the place of the open descriptor `to`, which is given back.
    pub(crate) fn renumber(&mut self, from: u32, to: u32) -> Result<Option<Descriptor>, Errno> {
        self.get(to)?;
        self.get(from)?;
        if from == to {
            return Ok(None);
        }
        let moved = self.remove(from)?;
        Ok(Some(std::mem::replace(self.get_mut(to)?, moved)))
    }

    pub(crate) fn file(&self, number: u32) -> Result<OpenFile, Errno> {
        match self.get(number)? {
            Descriptor::File(file) => Ok(*file),
            Descriptor::Directory(_) => Err(Errno::IsDirectory),
            Descriptor::Empty | Descriptor::Log(_) => Err(Errno::IllegalSeek),
        }
    }

    pub(crate) fn seek(&mut self, number: u32, position: u64) -> Result<(), Errno> {
        if let Descriptor::File(file) = self.get_mut(number)? {
            file.position = position;
        }
        Ok(())
    }

    pub(crate) fn directory(&self, number: u32) -> Result<&Directory, Errno> {
        match self.get(number)? {
            Descriptor::Directory(directory) => Ok(directory),
            _ => Err(Errno::NotDirectory),
        }
    }
}

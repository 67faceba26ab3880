//! The virtual file system: `/in` with the inputs, read-only, and `/out`, empty and writable.
//!
//! Nothing here reaches the host except the reading of inputs ([`super::host`]). Names are kept
//! sorted, inode numbers are given in the order of making (inputs first, by path), and every
//! timestamp is the contract's start time, so listings and `stat` are the same on every machine.
//! There are no links of any kind, hence no cycles and no way out but `..`, which stops at the
//! directory a lookup starts from.

use std::{collections::BTreeMap, sync::Arc};

use super::{descriptor::Descriptor, host::Input};
use crate::{
    failure::{Detail, LocalFailure, Stop},
    request::InputFile,
    wasi::abi::{Errno, FileType},
};

/// Files and directories under `/out` at any moment.
pub(crate) const MAXIMUM_OUTPUTS: usize = 16_384;
/// A path longer than this is refused before it is looked at.
pub(crate) const MAXIMUM_PATH: usize = 4_096;

/// What a file system call can come to besides success: a number for the guest, or the end of the run.
#[derive(Debug)]
pub(crate) enum Fault {
    Errno(Errno),
    Stop(Stop),
}

impl From<Errno> for Fault {
    fn from(errno: Errno) -> Fault {
        Fault::Errno(errno)
    }
}

impl From<Stop> for Fault {
    fn from(stop: Stop) -> Fault {
        Fault::Stop(stop)
    }
}

impl From<LocalFailure> for Fault {
    fn from(failure: LocalFailure) -> Fault {
        Fault::Stop(Stop::Local(failure))
    }
}

impl From<Detail> for Fault {
    fn from(detail: Detail) -> Fault {
        Fault::Stop(Stop::Verdict(detail))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NodeId(usize);

pub(crate) const ROOT: NodeId = NodeId(0);
pub(crate) const IN: NodeId = NodeId(1);
pub(crate) const OUT: NodeId = NodeId(2);

#[derive(Debug)]
pub(super) enum Content {
    Directory(BTreeMap<Arc<str>, NodeId>),
    Input(Input),
    Output(Vec<u8>),
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) inode: u64,
    /// The directory this was made in or moved to; the root is its own.
    pub(super) parent: NodeId,
    pub(super) content: Content,
    pub(super) writable: bool,
    /// None once it is removed; it then lives as long as it is open.
    pub(super) name: Option<Arc<str>>,
    /// How many descriptors there are on it.
    pub(super) open: u32,
}

/// What `stat` tells of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) inode: u64,
    pub(crate) file_type: FileType,
    pub(crate) size: u64,
}

/// Where a path leads: to a node, or to a free name in a directory.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) node: Option<NodeId>,
    /// Directory and name; none when the path ends in `.` or `..`.
    pub(super) entry: Option<(NodeId, Arc<str>)>,
    /// The path ended in a slash.
    pub(super) must_be_directory: bool,
}

#[derive(Debug)]
pub(crate) struct Tree {
    nodes: Vec<Option<Node>>,
    free: Vec<NodeId>,
    next_inode: u64,
    /// Bytes in outputs, those included that are open but have no name any more.
    pub(super) output_bytes: u64,
    pub(super) output_limit: u64,
    pub(super) outputs: usize,
}

impl Tree {
    pub(crate) fn new(inputs: &[InputFile], output_limit: u64) -> Result<Tree, LocalFailure> {
        let mut tree =
            Tree { nodes: Vec::new(), free: Vec::new(), next_inode: 1, output_bytes: 0, output_limit, outputs: 0 };
        let empty = || Content::Directory(BTreeMap::new());
        tree.add(ROOT, Arc::from("/"), empty(), false);
        tree.add(ROOT, Arc::from("in"), empty(), false);
        tree.add(ROOT, Arc::from("out"), empty(), true);
        let mut sorted: Vec<&InputFile> = inputs.iter().collect();
        sorted.sort_by(|left, right| left.path.cmp(&right.path));
        for file in sorted {
            tree.add_input(file)?;
        }
        Ok(tree)
    }

    fn add_input(&mut self, file: &InputFile) -> Result<(), LocalFailure> {
        let conflict = || LocalFailure::ConflictingInput { path: file.path.clone() };
        let mut directory = IN;
        let mut parts = file.path.split('/').peekable();
        while let Some(part) = parts.next() {
            let known = self.children(directory).and_then(|children| children.get(part).copied());
            directory = match (known, parts.peek().is_some()) {
                (Some(node), true) if self.children(node).is_some() => node,
                (Some(_), _) => return Err(conflict()),
                (None, true) => self.add(directory, Arc::from(part), Content::Directory(BTreeMap::new()), false),
                (None, false) => self.add(directory, Arc::from(part), Content::Input(Input::new(file)), false),
            };
        }
        Ok(())
    }

    /// Makes a node and names it in its parent, which must be a directory.
    pub(super) fn add(&mut self, parent: NodeId, name: Arc<str>, content: Content, writable: bool) -> NodeId {
        let node = Node { inode: self.next_inode, parent, content, writable, name: Some(name.clone()), open: 0 };
        self.next_inode += 1;
        let id = match self.free.pop() {
            Some(id) => id,
            None => {
                self.nodes.push(None);
                NodeId(self.nodes.len() - 1)
            }
        };
        if let Some(slot) = self.nodes.get_mut(id.0) {
            *slot = Some(node);
        }
        if id != parent
            && let Ok(Node { content: Content::Directory(children), .. }) = self.node_mut(parent)
        {
            children.insert(name, id);
        }
        id
    }

    pub(super) fn node(&self, id: NodeId) -> Result<&Node, Errno> {
        self.nodes.get(id.0).and_then(Option::as_ref).ok_or(Errno::NotFound)
    }

    pub(super) fn node_mut(&mut self, id: NodeId) -> Result<&mut Node, Errno> {
        self.nodes.get_mut(id.0).and_then(Option::as_mut).ok_or(Errno::NotFound)
    }

    pub(super) fn children(&self, id: NodeId) -> Option<&BTreeMap<Arc<str>, NodeId>> {
        match &self.node(id).ok()?.content {
            Content::Directory(children) => Some(children),
            Content::Input(_) | Content::Output(_) => None,
        }
    }

    pub(crate) fn is_directory(&self, id: NodeId) -> bool {
        self.children(id).is_some()
    }

    /// Follows `path` from the directory `base`. All but the last part must be there.
    pub(crate) fn lookup(&self, base: NodeId, path: &[u8]) -> Result<Place, Errno> {
        if path.len() > MAXIMUM_PATH {
            return Err(Errno::NameTooLong);
        }
        if path.contains(&0) {
            return Err(Errno::Invalid);
        }
        let path = std::str::from_utf8(path).map_err(|_| Errno::IllegalSequence)?;
        if path.is_empty() {
            return Err(Errno::NotFound);
        }
        if path.starts_with('/') {
            return Err(Errno::NotPermitted);
        }
        let must_be_directory = path.ends_with('/');
        let mut place = Place { node: Some(base), entry: None, must_be_directory };
        let mut depth = 0usize;
        for part in path.split('/').filter(|part| !part.is_empty()) {
            let directory = place.node.ok_or(Errno::NotFound)?;
            let children = self.children(directory).ok_or(Errno::NotDirectory)?;
            match part {
                "." => place.entry = None,
                ".." => {
                    depth = depth.checked_sub(1).ok_or(Errno::NotCapable)?;
                    place.node = Some(self.node(directory)?.parent);
                    place.entry = None;
                }
                name => {
                    depth += 1;
                    place.node = children.get(name).copied();
                    place.entry = Some((directory, Arc::from(name)));
                }
            }
        }
        if must_be_directory && place.node.is_some_and(|node| !self.is_directory(node)) {
            return Err(Errno::NotDirectory);
        }
        Ok(place)
    }

    /// Like [`Tree::lookup`], for a path that must lead to something.
    #[cfg(test)]
    pub(crate) fn find(&self, base: NodeId, path: &[u8]) -> Result<NodeId, Errno> {
        self.lookup(base, path)?.node.ok_or(Errno::NotFound)
    }

    pub(crate) fn status(&self, id: NodeId) -> Result<Status, Errno> {
        let node = self.node(id)?;
        let (file_type, size) = match &node.content {
            Content::Directory(_) => (FileType::Directory, 0),
            Content::Input(input) => (FileType::RegularFile, input.size()),
            Content::Output(bytes) => (FileType::RegularFile, bytes.len() as u64),
        };
        Ok(Status { inode: node.inode, file_type, size })
    }

    pub(crate) fn is_writable(&self, id: NodeId) -> bool {
        self.node(id).is_ok_and(|node| node.writable)
    }

    pub(crate) fn parent(&self, id: NodeId) -> Result<NodeId, Errno> {
        Ok(self.node(id)?.parent)
    }

    /// How many nodes there are; what a call that may visit all of them costs.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn open(&mut self, id: NodeId) -> Result<(), Errno> {
        let node = self.node_mut(id)?;
        node.open = node.open.checked_add(1).ok_or(Errno::TooManyOpen)?;
        Ok(())
    }

    pub(crate) fn close(&mut self, id: NodeId) {
        if let Ok(node) = self.node_mut(id) {
            node.open = node.open.saturating_sub(1);
            self.drop_if_unused(id);
        }
    }

    pub(crate) fn close_descriptor(&mut self, descriptor: &Descriptor) {
        if let Some(node) = descriptor.node() {
            self.close(node);
        }
    }

    #[cfg(test)]
    pub(crate) fn output_bytes(&self) -> u64 {
        self.output_bytes
    }

    pub(crate) fn output_limit(&self) -> u64 {
        self.output_limit
    }

    pub(super) fn drop_if_unused(&mut self, id: NodeId) {
        let unused = self.node(id).is_ok_and(|node| node.name.is_none() && node.open == 0);
        if unused && let Some(node) = self.nodes.get_mut(id.0).and_then(Option::take) {
            if let Content::Output(bytes) = node.content {
                self.output_bytes = self.output_bytes.saturating_sub(bytes.len() as u64);
            }
            self.outputs = self.outputs.saturating_sub(1);
            self.free.push(id);
        }
    }
}

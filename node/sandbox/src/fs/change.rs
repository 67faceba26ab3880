//! What changes the tree: making, removing, renaming, writing. All of it is possible below `/out` only.

use std::{collections::BTreeMap, mem, sync::Arc};

use valo_protocol::files::{FilePath, MAX_PATH};

use super::tree::{Content, Fault, MAXIMUM_OUTPUTS, Node, NodeId, OUT, Place, Tree};
use crate::{
    failure::{Detail, LocalFailure},
    request::OutputFile,
    wasi::abi::Errno,
};

impl Tree {
    pub(crate) fn create_file(&mut self, place: &Place) -> Result<NodeId, Fault> {
        if place.must_be_directory {
            return Err(Errno::IsDirectory.into());
        }
        self.create(place, Content::Output(Vec::new()))
    }

    pub(crate) fn create_directory(&mut self, place: &Place) -> Result<NodeId, Fault> {
        self.create(place, Content::Directory(BTreeMap::new()))
    }

    fn create(&mut self, place: &Place, content: Content) -> Result<NodeId, Fault> {
        if place.node.is_some() {
            return Err(Errno::Exists.into());
        }
        let (directory, name) = place.entry.clone().ok_or(Errno::Exists)?;
        self.check_takes_names(directory)?;
        self.check_path(directory, &name, 0)?;
        if self.outputs >= MAXIMUM_OUTPUTS {
            return Err(Detail::TooManyOutputs { limit: MAXIMUM_OUTPUTS }.into());
        }
        self.outputs += 1;
        Ok(self.add(directory, name, content, true))
    }

    /// A directory that was removed while open takes no new names.
    fn check_takes_names(&self, directory: NodeId) -> Result<(), Errno> {
        let node = self.node(directory)?;
        match (node.writable, &node.name) {
            (false, _) => Err(Errno::ReadOnly),
            (true, None) => Err(Errno::NotFound),
            (true, Some(_)) => Ok(()),
        }
    }

    /// A name is good when the path from `/out` to it, with `below` more bytes, makes a [`FilePath`].
    fn check_path(&self, directory: NodeId, name: &str, below: usize) -> Result<(), Errno> {
        let mut parts = vec![name];
        let mut at = directory;
        while at != OUT {
            let node = self.node(at)?;
            parts.push(node.name.as_deref().ok_or(Errno::NotFound)?);
            at = node.parent;
        }
        parts.reverse();
        let path = parts.join("/");
        if path.len().saturating_add(below) > MAX_PATH {
            return Err(Errno::NameTooLong);
        }
        path.parse::<FilePath>().map(|_| ()).map_err(|_| Errno::Invalid)
    }

    /// Bytes that the longest path below `id` has more than the path of `id` itself.
    fn bytes_below(&self, id: NodeId) -> usize {
        // Paths are at most 255 bytes long, so this cannot go deep.
        let Some(children) = self.children(id) else { return 0 };
        children.iter().map(|(name, child)| 1 + name.len() + self.bytes_below(*child)).max().unwrap_or(0)
    }

    fn is_empty(&self, id: NodeId) -> bool {
        self.children(id).is_some_and(BTreeMap::is_empty)
    }

    pub(crate) fn remove_file(&mut self, place: &Place) -> Result<(), Errno> {
        let node = place.node.ok_or(Errno::NotFound)?;
        self.check_removable(place, node)?;
        if self.is_directory(node) {
            return Err(Errno::IsDirectory);
        }
        self.unname(node)
    }

    pub(crate) fn remove_directory(&mut self, place: &Place) -> Result<(), Errno> {
        let node = place.node.ok_or(Errno::NotFound)?;
        self.check_removable(place, node)?;
        if !self.is_directory(node) {
            return Err(Errno::NotDirectory);
        }
        if !self.is_empty(node) {
            return Err(Errno::NotEmpty);
        }
        self.unname(node)
    }

    fn check_removable(&self, place: &Place, node: NodeId) -> Result<(), Errno> {
        if !self.is_writable(node) || node == OUT {
            return Err(Errno::ReadOnly);
        }
        place.entry.as_ref().map(|_| ()).ok_or(Errno::Invalid)
    }

    fn unname(&mut self, id: NodeId) -> Result<(), Errno> {
        let node = self.node_mut(id)?;
        let parent = node.parent;
        if let Some(name) = node.name.take()
            && let Content::Directory(children) = &mut self.node_mut(parent)?.content
        {
            children.remove(&name);
        }
        self.drop_if_unused(id);
        Ok(())
    }

    pub(crate) fn rename(&mut self, from: &Place, to: &Place) -> Result<(), Errno> {
        let node = from.node.ok_or(Errno::NotFound)?;
        self.check_removable(from, node)?;
        let (directory, name) = to.entry.clone().ok_or(Errno::Invalid)?;
        self.check_takes_names(directory)?;
        if to.node == Some(node) {
            return Ok(());
        }
        let moves_directory = self.is_directory(node);
        if to.must_be_directory && !moves_directory {
            return Err(Errno::NotDirectory);
        }
        if self.is_within(directory, node)? {
            return Err(Errno::Invalid);
        }
        if let Some(replaced) = to.node {
            match (moves_directory, self.is_directory(replaced)) {
                (true, false) => return Err(Errno::NotDirectory),
                (false, true) => return Err(Errno::IsDirectory),
                (true, true) if !self.is_empty(replaced) => return Err(Errno::NotEmpty),
                _ if replaced == OUT => return Err(Errno::ReadOnly),
                _ => {}
            }
        }
        self.check_path(directory, &name, self.bytes_below(node))?;
        if let Some(replaced) = to.node {
            self.unname(replaced)?;
        }
        self.move_to(node, directory, name)
    }

    fn move_to(&mut self, id: NodeId, directory: NodeId, name: Arc<str>) -> Result<(), Errno> {
        let node = self.node_mut(id)?;
        let old_parent = mem::replace(&mut node.parent, directory);
        let old_name = node.name.replace(name.clone());
        if let (Some(old_name), Content::Directory(children)) = (old_name, &mut self.node_mut(old_parent)?.content) {
            children.remove(&old_name);
        }
        if let Content::Directory(children) = &mut self.node_mut(directory)?.content {
            children.insert(name, id);
        }
        Ok(())
    }

    /// Whether `at` is `ancestor` or lies below it.
    fn is_within(&self, mut at: NodeId, ancestor: NodeId) -> Result<bool, Errno> {
        loop {
            if at == ancestor {
                return Ok(true);
            }
            let parent = self.node(at)?.parent;
            if parent == at {
                return Ok(false);
            }
            at = parent;
        }
    }

    /// Copies `bytes` into an output at `offset`; what lies between its end and there reads as zeros.
    pub(crate) fn write(&mut self, id: NodeId, offset: u64, bytes: &[u8]) -> Result<(), Fault> {
        if bytes.is_empty() {
            return Ok(());
        }
        let end = offset.checked_add(bytes.len() as u64).ok_or(Errno::Invalid)?;
        if end > self.status(id)?.size {
            self.resize(id, end)?;
        }
        let Content::Output(contents) = &mut self.node_mut(id)?.content else {
            return Err(Errno::Invalid.into());
        };
        let start = usize::try_from(offset).map_err(|_| Errno::Invalid)?;
        let target = contents.get_mut(start..).and_then(|rest| rest.get_mut(..bytes.len()));
        target.ok_or(Errno::Invalid)?.copy_from_slice(bytes);
        Ok(())
    }

    /// Cuts an output, or lengthens it with zeros.
    pub(crate) fn resize(&mut self, id: NodeId, size: u64) -> Result<(), Fault> {
        let limit = self.output_limit;
        let total = self.output_bytes;
        let Node { content: Content::Output(contents), .. } = self.node_mut(id)? else {
            return Err(Errno::Invalid.into());
        };
        let total = (total - contents.len() as u64).saturating_add(size);
        let too_large = Detail::OutputTooLarge { limit };
        if total > limit {
            return Err(too_large.into());
        }
        let size = usize::try_from(size).map_err(|_| too_large)?;
        reserve(contents, size, limit)?;
        contents.resize(size, 0);
        self.output_bytes = total;
        Ok(())
    }

    /// Takes the files out of `/out`, sorted by path.
    pub(crate) fn take_outputs(&mut self) -> Vec<OutputFile> {
        let mut files = Vec::new();
        self.collect(OUT, "", &mut files);
        files.sort_by(|left, right| left.path.cmp(&right.path));
        files
    }

    fn collect(&mut self, directory: NodeId, prefix: &str, files: &mut Vec<OutputFile>) {
        let children = self.children(directory).cloned().unwrap_or_default();
        for (name, child) in children {
            let path = if prefix.is_empty() { name.to_string() } else { format!("{prefix}/{name}") };
            match self.node_mut(child).map(|node| &mut node.content) {
                Ok(Content::Directory(_)) => self.collect(child, &path, files),
                Ok(Content::Output(contents)) => {
                    // Checked when the name was given.
                    if let Ok(path) = path.parse() {
                        files.push(OutputFile { path, contents: mem::take(contents) });
                    }
                }
                Ok(Content::Input(_)) | Err(_) => {}
            }
        }
    }
}

/// Makes room as a growing vector does, but never for more than the limit, and without ending the
/// process when the host has no memory left.
fn reserve(contents: &mut Vec<u8>, size: usize, limit: u64) -> Result<(), LocalFailure> {
    if size <= contents.capacity() {
        return Ok(());
    }
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let capacity = contents.capacity().saturating_mul(2).min(limit).max(size);
    let additional = capacity.saturating_sub(contents.len());
    contents
        .try_reserve_exact(additional)
        .map_err(|error| LocalFailure::Memory { reason: format!("{capacity} bytes for an output file: {error}") })
}

//! Listing directories into a guest buffer.
//!
//! The buffer is filled to its end: an entry that does not fit is cut, which tells the program to
//! come back with the cookie of the last whole one; a buffer that is not full is the end.

use super::{
    Answer, Context,
    abi::{DIRENT_BYTES, Errno},
    size,
};
use crate::{
    cost,
    fs::{
        Descriptor,
        listing::{Cursor, Entry},
    },
};

pub(super) fn fd_readdir(
    context: &mut Context<'_>,
    fd: u32,
    buffer: u32,
    length: u32,
    cookie: u64,
    used: u32,
) -> Answer {
    let directory = context.state.descriptors.directory(fd)?.clone();
    let resumes = directory.cursor.as_ref().is_some_and(|cursor| cursor.cookie == cookie);
    let skipped = if resumes { 0 } else { cookie.min(context.state.tree.len() as u64) };
    context.charge(skipped)?;

    let Context { guest, state, fuel } = context;
    let buffer = guest.slice_mut(buffer, length)?;
    let mut filled = 0;
    let mut cursor = directory.cursor.clone();
    let mut budget = Some(*fuel);
    state.tree.list(directory.node, cookie, directory.cursor.as_ref(), |entry| {
        budget = budget.and_then(|left| left.checked_sub(cost::ENTRY + entry.name.len() as u64));
        if budget.is_none() {
            return false;
        }
        let whole = put(buffer, &mut filled, &entry);
        if whole {
            cursor = Some(Cursor { cookie: entry.next, name: entry.name });
        }
        whole && filled < buffer.len()
    })?;
    let Some(left) = budget else {
        *fuel = 0;
        return Err(crate::failure::Stop::OutOfFuel.into());
    };
    *fuel = left;
    if let Descriptor::Directory(directory) = state.descriptors.get_mut(fd)? {
        directory.cursor = cursor;
    }
    context.guest.write_u32(used, size(filled)?)?;
    Ok(())
}

/// Appends an entry, or as much of it as fits, and says whether all of it did.
fn put(buffer: &mut [u8], filled: &mut usize, entry: &Entry) -> bool {
    let mut bytes = Vec::with_capacity(DIRENT_BYTES + entry.name.len());
    bytes.extend_from_slice(&entry.next.to_le_bytes());
    bytes.extend_from_slice(&entry.status.inode.to_le_bytes());
    bytes.extend_from_slice(&u32::try_from(entry.name.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend_from_slice(&[entry.status.file_type as u8, 0, 0, 0]);
    bytes.extend_from_slice(entry.name.as_bytes());
    let Some(room) = buffer.get_mut(*filled..) else { return false };
    let fitting = bytes.len().min(room.len());
    let (Some(target), Some(source)) = (room.get_mut(..fitting), bytes.get(..fitting)) else { return false };
    target.copy_from_slice(source);
    *filled += fitting;
    fitting == bytes.len()
}

/// A directory's descriptor, for paths that start there.
pub(super) fn base(context: &Context<'_>, fd: u32) -> Result<crate::fs::NodeId, Errno> {
    Ok(context.state.descriptors.directory(fd)?.node)
}

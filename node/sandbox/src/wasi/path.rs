//! What starts from a directory and a path. Symbolic and hard links do not exist here, so lookup
//! flags, which are about following them, change nothing.

use super::{
    Answer, Context,
    abi::{Errno, open_flags, rights},
    descriptor::{checked_flags, set_times, write_filestat},
    directory::base,
};
use crate::fs::{Descriptor, Directory, Fault, MAXIMUM_PATH, NodeId, OpenFile, Place};

/// Copies a path out of guest memory.
fn read_path(context: &mut Context<'_>, pointer: u32, length: u32) -> Result<Vec<u8>, Fault> {
    if usize::try_from(length).is_ok_and(|length| length > MAXIMUM_PATH) {
        return Err(Errno::NameTooLong.into());
    }
    context.charge(u64::from(length))?;
    Ok(context.guest.slice(pointer, length)?.to_vec())
}

fn lookup(context: &mut Context<'_>, fd: u32, pointer: u32, length: u32) -> Result<Place, Fault> {
    let base = base(context, fd)?;
    let path = read_path(context, pointer, length)?;
    Ok(context.state.tree.lookup(base, &path)?)
}

fn find(context: &mut Context<'_>, fd: u32, pointer: u32, length: u32) -> Result<NodeId, Fault> {
    Ok(lookup(context, fd, pointer, length)?.node.ok_or(Errno::NotFound)?)
}

pub(super) fn path_create_directory(context: &mut Context<'_>, fd: u32, path: u32, length: u32) -> Answer {
    let place = lookup(context, fd, path, length)?;
    context.state.tree.create_directory(&place)?;
    Ok(())
}

pub(super) fn path_filestat_get(
    context: &mut Context<'_>,
    fd: u32,
    _flags: u32,
    path: u32,
    length: u32,
    status: u32,
) -> Answer {
    let node = find(context, fd, path, length)?;
    let known = context.state.tree.status(node)?;
    write_filestat(context, status, known)?;
    Ok(())
}

#[allow(clippy::too_many_arguments)]
pub(super) fn path_filestat_set_times(
    context: &mut Context<'_>,
    fd: u32,
    _flags: u32,
    path: u32,
    length: u32,
    _accessed: u64,
    _modified: u64,
    times: u32,
) -> Answer {
    let node = find(context, fd, path, length)?;
    set_times(context, node, times)?;
    Ok(())
}

#[allow(clippy::too_many_arguments)]
pub(super) fn path_link(
    context: &mut Context<'_>,
    old_fd: u32,
    _old_flags: u32,
    _old: u32,
    _old_length: u32,
    new_fd: u32,
    _new: u32,
    _new_length: u32,
) -> Answer {
    base(context, old_fd)?;
    base(context, new_fd)?;
    Err(Errno::NotSupported.into())
}

pub(super) fn path_symlink(
    context: &mut Context<'_>,
    _old: u32,
    _old_length: u32,
    fd: u32,
    _new: u32,
    _new_length: u32,
) -> Answer {
    base(context, fd)?;
    Err(Errno::NotSupported.into())
}

/// Nothing is a link: what is there is the wrong kind of thing.
pub(super) fn path_readlink(
    context: &mut Context<'_>,
    fd: u32,
    path: u32,
    length: u32,
    _buffer: u32,
    _buffer_length: u32,
    _used: u32,
) -> Answer {
    find(context, fd, path, length)?;
    Err(Errno::Invalid.into())
}

#[allow(clippy::too_many_arguments)]
pub(super) fn path_open(
    context: &mut Context<'_>,
    fd: u32,
    _lookup: u32,
    path: u32,
    length: u32,
    open: u32,
    base_rights: u64,
    _inheriting: u64,
    flags: u32,
    opened: u32,
) -> Answer {
    let flags = checked_flags(flags)?;
    let contradicts = open_flags::CREATE | open_flags::DIRECTORY;
    if open & !open_flags::ALL != 0 || open & contradicts == contradicts {
        return Err(Errno::Invalid.into());
    }
    let place = lookup(context, fd, path, length)?;
    // Checked before anything is made or cut.
    context.guest.write_u32(opened, 0)?;
    if !context.state.descriptors.has_room() {
        return Err(Errno::TooManyOpen.into());
    }
    let read = base_rights & rights::FD_READ != 0;
    let write = base_rights & rights::FD_WRITE != 0;
    let node = open_node(context, &place, open, write)?;
    let descriptor = if context.state.tree.is_directory(node) {
        Descriptor::Directory(Directory { node, preopened: None, cursor: None })
    } else {
        Descriptor::File(OpenFile { node, position: 0, read, write, flags })
    };
    context.state.tree.open(node)?;
    let number = context.state.descriptors.add(descriptor)?;
    context.guest.write_u32(opened, number)?;
    Ok(())
}

fn open_node(context: &mut Context<'_>, place: &Place, open: u32, write: bool) -> Result<NodeId, Fault> {
    let creates = open & open_flags::CREATE != 0;
    let truncates = open & open_flags::TRUNCATE != 0;
    let tree = &mut context.state.tree;
    let Some(node) = place.node else {
        return if creates { tree.create_file(place) } else { Err(Errno::NotFound.into()) };
    };
    if creates && open & open_flags::EXCLUSIVE != 0 {
        return Err(Errno::Exists.into());
    }
    if tree.is_directory(node) {
        let refused = write || creates || truncates;
        return if refused { Err(Errno::IsDirectory.into()) } else { Ok(node) };
    }
    if open & open_flags::DIRECTORY != 0 {
        return Err(Errno::NotDirectory.into());
    }
    if (write || truncates) && !tree.is_writable(node) {
        return Err(Errno::ReadOnly.into());
    }
    if truncates {
        tree.resize(node, 0)?;
    }
    tree.verify_input(node)?;
    Ok(node)
}

pub(super) fn path_remove_directory(context: &mut Context<'_>, fd: u32, path: u32, length: u32) -> Answer {
    let place = lookup(context, fd, path, length)?;
    context.state.tree.remove_directory(&place)?;
    Ok(())
}

pub(super) fn path_unlink_file(context: &mut Context<'_>, fd: u32, path: u32, length: u32) -> Answer {
    let place = lookup(context, fd, path, length)?;
    context.state.tree.remove_file(&place)?;
    Ok(())
}

pub(super) fn path_rename(
    context: &mut Context<'_>,
    fd: u32,
    old: u32,
    old_length: u32,
    new_fd: u32,
    new: u32,
    new_length: u32,
) -> Answer {
    let from = lookup(context, fd, old, old_length)?;
    let to = lookup(context, new_fd, new, new_length)?;
    if from.node.is_some_and(|node| context.state.tree.is_directory(node)) {
        // All that lies below is visited.
        context.charge(context.state.tree.len() as u64)?;
    }
    context.state.tree.rename(&from, &to)?;
    Ok(())
}

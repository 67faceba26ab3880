//! Descriptors: what they are, where they stand, opening no more than there is.

use super::{
    Answer, Context,
    abi::{Errno, FileType, PREOPEN_DIRECTORY, descriptor_flags, rights, whence},
    size,
};
use crate::fs::{Descriptor, NodeId, Status};

const ADVICES: u32 = 6;
const FILESTAT_BYTES: u32 = 64;
const FDSTAT_BYTES: u32 = 24;
/// Both of an explicit time and "now" asked for, for one timestamp.
const CONTRADICTING_TIMES: [u32; 2] = [0b0011, 0b1100];

fn write_fields<const N: usize>(
    context: &mut Context<'_>,
    pointer: u32,
    length: u32,
    fields: [(u32, &[u8]); N],
) -> Result<(), Errno> {
    context.guest.slice_mut(pointer, length)?.fill(0);
    for (offset, bytes) in fields {
        context.guest.write(pointer.checked_add(offset).ok_or(Errno::Fault)?, bytes)?;
    }
    Ok(())
}

pub(super) fn write_filestat(context: &mut Context<'_>, pointer: u32, status: Status) -> Result<(), Errno> {
    let time = context.state.clock.start().to_le_bytes();
    write_fields(
        context,
        pointer,
        FILESTAT_BYTES,
        [
            (8, &status.inode.to_le_bytes()),
            (16, &[status.file_type as u8]),
            (24, &1u64.to_le_bytes()),
            (32, &status.size.to_le_bytes()),
            (40, &time),
            (48, &time),
            (56, &time),
        ],
    )
}

pub(super) fn fd_advise(context: &mut Context<'_>, fd: u32, _offset: u64, _length: u64, advice: u32) -> Answer {
    context.state.descriptors.file(fd)?;
    if advice >= ADVICES {
        return Err(Errno::Invalid.into());
    }
    Ok(())
}

/// The node of a file that is open for writing.
fn writable(context: &Context<'_>, fd: u32) -> Result<NodeId, Errno> {
    let file = context.state.descriptors.file(fd)?;
    if file.write { Ok(file.node) } else { Err(Errno::BadDescriptor) }
}

fn resize(context: &mut Context<'_>, node: NodeId, size: u64) -> Answer {
    let now = context.state.tree.status(node)?.size;
    let growth = size.saturating_sub(now).min(context.state.tree.output_limit());
    context.charge(growth)?;
    context.state.tree.resize(node, size)
}

pub(super) fn fd_allocate(context: &mut Context<'_>, fd: u32, offset: u64, length: u64) -> Answer {
    let node = writable(context, fd)?;
    let end = offset.checked_add(length).filter(|_| length > 0).ok_or(Errno::Invalid)?;
    if end > context.state.tree.status(node)?.size {
        resize(context, node, end)?;
    }
    Ok(())
}

pub(super) fn fd_close(context: &mut Context<'_>, fd: u32) -> Answer {
    let closed = context.state.descriptors.remove(fd)?;
    context.state.tree.close_descriptor(&closed);
    Ok(())
}

pub(super) fn fd_sync(context: &mut Context<'_>, fd: u32) -> Answer {
    context.state.descriptors.get(fd)?;
    Ok(())
}

fn rights_of(descriptor: &Descriptor) -> u64 {
    match descriptor {
        Descriptor::Empty => rights::STREAM & !rights::FD_WRITE,
        Descriptor::Log(_) => rights::STREAM & !rights::FD_READ,
        Descriptor::Directory(_) => rights::ALL,
        Descriptor::File(file) => {
            let without_read = if file.read { 0 } else { rights::FD_READ };
            let without_write = if file.write { 0 } else { rights::FD_WRITE };
            rights::ALL & !without_read & !without_write
        }
    }
}

pub(super) fn fd_fdstat_get(context: &mut Context<'_>, fd: u32, status: u32) -> Answer {
    let descriptor = context.state.descriptors.get(fd)?;
    let (file_type, flags) = match descriptor {
        Descriptor::Empty | Descriptor::Log(_) => (FileType::CharacterDevice, 0),
        Descriptor::Directory(_) => (FileType::Directory, 0),
        Descriptor::File(file) => (FileType::RegularFile, file.flags),
    };
    let base = rights_of(descriptor);
    let inheriting = if file_type == FileType::Directory { rights::ALL } else { 0 };
    write_fields(
        context,
        status,
        FDSTAT_BYTES,
        [(0, &[file_type as u8]), (2, &flags.to_le_bytes()), (8, &base.to_le_bytes()), (16, &inheriting.to_le_bytes())],
    )?;
    Ok(())
}

/// Descriptor flags as the interface passes them.
pub(super) fn checked_flags(flags: u32) -> Result<u16, Errno> {
    u16::try_from(flags).ok().filter(|flags| flags & !descriptor_flags::ALL == 0).ok_or(Errno::Invalid)
}

pub(super) fn fd_fdstat_set_flags(context: &mut Context<'_>, fd: u32, flags: u32) -> Answer {
    let flags = checked_flags(flags)?;
    if let Descriptor::File(file) = context.state.descriptors.get_mut(fd)? {
        file.flags = flags;
    }
    Ok(())
}

/// Rights can be given up, never gained.
pub(super) fn fd_fdstat_set_rights(context: &mut Context<'_>, fd: u32, base: u64, _inheriting: u64) -> Answer {
    let descriptor = context.state.descriptors.get_mut(fd)?;
    if base & !rights_of(descriptor) != 0 {
        return Err(Errno::NotCapable.into());
    }
    if let Descriptor::File(file) = descriptor {
        file.read &= base & rights::FD_READ != 0;
        file.write &= base & rights::FD_WRITE != 0;
    }
    Ok(())
}

pub(super) fn fd_filestat_get(context: &mut Context<'_>, fd: u32, status: u32) -> Answer {
    let known = match context.state.descriptors.get(fd)?.node() {
        Some(node) => context.state.tree.status(node)?,
        None => Status { inode: 0, file_type: FileType::CharacterDevice, size: 0 },
    };
    write_filestat(context, status, known)?;
    Ok(())
}

pub(super) fn fd_filestat_set_size(context: &mut Context<'_>, fd: u32, size: u64) -> Answer {
    let node = writable(context, fd)?;
    resize(context, node, size)
}

/// Timestamps never change; asking for it does no harm where writing is allowed.
pub(super) fn set_times(context: &Context<'_>, node: NodeId, flags: u32) -> Result<(), Errno> {
    if CONTRADICTING_TIMES.iter().any(|both| flags & both == *both) {
        return Err(Errno::Invalid);
    }
    if context.state.tree.is_writable(node) { Ok(()) } else { Err(Errno::ReadOnly) }
}

pub(super) fn fd_filestat_set_times(
    context: &mut Context<'_>,
    fd: u32,
    _accessed: u64,
    _modified: u64,
    flags: u32,
) -> Answer {
    let node = context.state.descriptors.get(fd)?.node().ok_or(Errno::NotSupported)?;
    set_times(context, node, flags)?;
    Ok(())
}

fn preopened(context: &Context<'_>, fd: u32) -> Result<&'static str, Errno> {
    match context.state.descriptors.get(fd)? {
        Descriptor::Directory(directory) => directory.preopened.ok_or(Errno::BadDescriptor),
        _ => Err(Errno::BadDescriptor),
    }
}

pub(super) fn fd_prestat_get(context: &mut Context<'_>, fd: u32, prestat: u32) -> Answer {
    let length = size(preopened(context, fd)?.len())?;
    write_fields(context, prestat, 8, [(0, &[PREOPEN_DIRECTORY]), (4, &length.to_le_bytes())])?;
    Ok(())
}

pub(super) fn fd_prestat_dir_name(context: &mut Context<'_>, fd: u32, path: u32, length: u32) -> Answer {
    let name = preopened(context, fd)?;
    if length < size(name.len())? {
        return Err(Errno::NameTooLong.into());
    }
    context.guest.write(path, name.as_bytes())?;
    Ok(())
}

pub(super) fn fd_renumber(context: &mut Context<'_>, from: u32, to: u32) -> Answer {
    if let Some(replaced) = context.state.descriptors.renumber(from, to)? {
        context.state.tree.close_descriptor(&replaced);
    }
    Ok(())
}

pub(super) fn fd_seek(context: &mut Context<'_>, fd: u32, offset: i64, from: u32, position: u32) -> Answer {
    let file = context.state.descriptors.file(fd)?;
    let base = match from {
        whence::SET => 0,
        whence::CURRENT => file.position,
        whence::END => context.state.tree.status(file.node)?.size,
        _ => return Err(Errno::Invalid.into()),
    };
    let target = base.checked_add_signed(offset).ok_or(Errno::Invalid)?;
    context.guest.write_u64(position, target)?;
    context.state.descriptors.seek(fd, target)?;
    Ok(())
}

pub(super) fn fd_tell(context: &mut Context<'_>, fd: u32, position: u32) -> Answer {
    let file = context.state.descriptors.file(fd)?;
    context.guest.write_u64(position, file.position)?;
    Ok(())
}

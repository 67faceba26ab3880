//! Reading and writing through lists of buffers.
//!
//! Fuel is taken for the bytes before they move. The lists lie in guest memory and a read may
//! overwrite them as it goes: each buffer is looked at only when its turn comes, and no more bytes
//! move than were paid for.

use super::{
    Answer, Context,
    abi::{Errno, descriptor_flags},
};
use crate::{
    cost,
    fs::{Descriptor, Fault, OpenFile, descriptor::LogStream},
};

pub(super) fn fd_read(context: &mut Context<'_>, fd: u32, buffers: u32, count: u32, read: u32) -> Answer {
    let number = match context.state.descriptors.get(fd)? {
        Descriptor::Empty => 0,
        Descriptor::Log(_) => return Err(Errno::BadDescriptor.into()),
        Descriptor::Directory(_) => return Err(Errno::IsDirectory.into()),
        Descriptor::File(file) => {
            let file = *file;
            let number = read_at(context, file, file.position, buffers, count)?;
            context.state.descriptors.seek(fd, file.position.saturating_add(u64::from(number)))?;
            number
        }
    };
    context.guest.write_u32(read, number)?;
    Ok(())
}

pub(super) fn fd_pread(context: &mut Context<'_>, fd: u32, buffers: u32, count: u32, offset: u64, read: u32) -> Answer {
    let file = context.state.descriptors.file(fd)?;
    let number = read_at(context, file, offset, buffers, count)?;
    context.guest.write_u32(read, number)?;
    Ok(())
}

fn read_at(context: &mut Context<'_>, file: OpenFile, offset: u64, buffers: u32, count: u32) -> Result<u32, Fault> {
    if !file.read {
        return Err(Errno::BadDescriptor.into());
    }
    let wanted = context.guest.total(buffers, count)?;
    let available = context.state.tree.readable(file.node, offset, u64::from(wanted))?;
    context.charge(u64::from(count) * cost::BUFFER + available)?;
    let available = u32::try_from(available).map_err(|_| Errno::Overflow)?;
    let mut done = 0u32;
    for index in 0..count {
        let buffer = context.guest.buffer(buffers, index)?;
        let length = buffer.length.min(available - done);
        let target = context.guest.slice_mut(buffer.pointer, length)?;
        let state = &mut *context.state;
        let at = offset.saturating_add(u64::from(done));
        state.tree.read(&mut state.open_files, file.node, at, target)?;
        done += length;
    }
    Ok(done)
}

pub(super) fn fd_write(context: &mut Context<'_>, fd: u32, buffers: u32, count: u32, written: u32) -> Answer {
    let number = match context.state.descriptors.get(fd)? {
        Descriptor::Empty => return Err(Errno::BadDescriptor.into()),
        Descriptor::Directory(_) => return Err(Errno::IsDirectory.into()),
        Descriptor::Log(stream) => {
            let stream = *stream;
            write_log(context, stream, buffers, count)?
        }
        Descriptor::File(file) => {
            let file = *file;
            let appends = file.flags & descriptor_flags::APPEND != 0;
            let start = if appends { context.state.tree.status(file.node)?.size } else { file.position };
            let number = write_at(context, file, start, buffers, count)?;
            context.state.descriptors.seek(fd, start.saturating_add(u64::from(number)))?;
            number
        }
    };
    context.guest.write_u32(written, number)?;
    Ok(())
}

pub(super) fn fd_pwrite(
    context: &mut Context<'_>,
    fd: u32,
    buffers: u32,
    count: u32,
    offset: u64,
    written: u32,
) -> Answer {
    let file = context.state.descriptors.file(fd)?;
    let number = write_at(context, file, offset, buffers, count)?;
    context.guest.write_u32(written, number)?;
    Ok(())
}

fn write_log(context: &mut Context<'_>, stream: LogStream, buffers: u32, count: u32) -> Result<u32, Fault> {
    let total = context.guest.total(buffers, count)?;
    context.charge(u64::from(count) * cost::BUFFER + u64::from(total))?;
    let log = match stream {
        LogStream::Output => &mut context.state.stdout,
        LogStream::Error => &mut context.state.stderr,
    };
    for index in 0..count {
        let buffer = context.guest.buffer(buffers, index)?;
        log.push(context.guest.slice(buffer.pointer, buffer.length)?);
    }
    Ok(total)
}

fn write_at(context: &mut Context<'_>, file: OpenFile, offset: u64, buffers: u32, count: u32) -> Result<u32, Fault> {
    if !file.write {
        return Err(Errno::BadDescriptor.into());
    }
    let total = context.guest.total(buffers, count)?;
    let tree = &context.state.tree;
    // A gap between the file's end and the offset is filled with zeros, which is work too.
    let gap = if total == 0 { 0 } else { offset.saturating_sub(tree.status(file.node)?.size) };
    let gap = gap.min(tree.output_limit());
    context.charge(u64::from(count) * cost::BUFFER + u64::from(total) + gap)?;
    let mut at = offset;
    for index in 0..count {
        let buffer = context.guest.buffer(buffers, index)?;
        let bytes = context.guest.slice(buffer.pointer, buffer.length)?;
        context.state.tree.write(file.node, at, bytes)?;
        at = at.checked_add(u64::from(buffer.length)).ok_or(Errno::Invalid)?;
    }
    Ok(total)
}

//! Sockets: there are none.

use super::{Answer, Context, abi::Errno};

fn refuse(context: &Context<'_>, fd: u32) -> Answer {
    context.state.descriptors.get(fd)?;
    Err(Errno::NotSocket.into())
}

pub(super) fn sock_accept(context: &mut Context<'_>, fd: u32, _flags: u32, _accepted: u32) -> Answer {
    refuse(context, fd)
}

pub(super) fn sock_recv(
    context: &mut Context<'_>,
    fd: u32,
    _buffers: u32,
    _count: u32,
    _flags: u32,
    _received: u32,
    _out_flags: u32,
) -> Answer {
    refuse(context, fd)
}

pub(super) fn sock_send(
    context: &mut Context<'_>,
    fd: u32,
    _buffers: u32,
    _count: u32,
    _flags: u32,
    _sent: u32,
) -> Answer {
    refuse(context, fd)
}

pub(super) fn sock_shutdown(context: &mut Context<'_>, fd: u32, _how: u32) -> Answer {
    refuse(context, fd)
}

//! WASI preview 1, all of it, with nothing of the host behind it.
//!
//! Each function of the interface is one Rust function over a [`Context`]: the guest's memory, the
//! state of the run, and its fuel. What has no meaning here (sockets, signals, links) answers with
//! an error number instead of missing, so that whatever clang or rustc compile links and runs.
//! Every answer depends on nothing but the request: files by [`crate::fs`], time and randomness
//! by [`world`].

pub(crate) mod abi;
mod clock;
mod descriptor;
mod directory;
mod guest;
mod path;
mod poll;
mod process;
mod socket;
mod transfer;
pub(crate) mod world;

use wasmtime::{AsContextMut, Caller, Extern, Linker};

use self::{abi::Errno, guest::Guest};
use crate::{cost, failure::Stop, fs::Fault, state::State};

/// The one module a program may import from.
pub(crate) const MODULE: &str = "wasi_snapshot_preview1";

/// What a host function works on.
pub(crate) struct Context<'a> {
    guest: Guest<'a>,
    state: &'a mut State,
    fuel: u64,
}

impl Context<'_> {
    /// Takes fuel for work about to be done.
    fn charge(&mut self, units: u64) -> Result<(), Stop> {
        match self.fuel.checked_sub(units) {
            Some(left) => {
                self.fuel = left;
                Ok(())
            }
            None => {
                self.fuel = 0;
                Err(Stop::OutOfFuel)
            }
        }
    }
}

type Answer = Result<(), Fault>;

/// Runs a host function: lends it memory, state and fuel, and turns its answer into the guest's.
fn enter(mut caller: Caller<'_, State>, function: impl FnOnce(&mut Context<'_>) -> Answer) -> wasmtime::Result<u32> {
    let fuel = caller.get_fuel()?;
    let memory = match caller.data().memory {
        Some(memory) => Some(memory),
        // Looked up once; not there before the first call, which may come from a start function.
        None => caller.get_export("memory").and_then(Extern::into_memory),
    };
    caller.data_mut().memory = memory;
    let (bytes, state) = match &memory {
        Some(memory) => memory.data_and_store_mut(&mut caller),
        None => (&mut [][..], caller.data_mut()),
    };
    let mut context = Context { guest: Guest::new(bytes), state, fuel };
    let answer = match context.charge(cost::CALL) {
        Ok(()) => function(&mut context),
        Err(stop) => Err(stop.into()),
    };
    let fuel = context.fuel;
    caller.as_context_mut().set_fuel(fuel)?;
    match answer {
        Ok(()) => Ok(0),
        Err(Fault::Errno(errno)) => Ok(u32::from(errno as u16)),
        Err(Fault::Stop(stop)) => Err(stop.into()),
    }
}

/// Defines functions of the interface: `name(arguments) = implementation;`.
macro_rules! functions {
    ($linker:ident: $($name:ident($($argument:ident: $type:ty),*) = $implementation:path;)*) => {
        $($linker.func_wrap(
            MODULE,
            stringify!($name),
            |caller: Caller<'_, State>, $($argument: $type),*| {
                enter(caller, |context| $implementation(context, $($argument),*))
            },
        )?;)*
    };
}

/// Defines every function of preview 1.
pub(crate) fn define(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    functions!(linker:
        args_get(pointers: u32, bytes: u32) = process::args_get;
        args_sizes_get(count: u32, bytes: u32) = process::args_sizes_get;
        environ_get(pointers: u32, bytes: u32) = process::environ_get;
        environ_sizes_get(count: u32, bytes: u32) = process::environ_sizes_get;
        random_get(buffer: u32, length: u32) = process::random_get;
        sched_yield() = process::sched_yield;
        proc_raise(signal: u32) = process::proc_raise;

        clock_res_get(clock: u32, resolution: u32) = clock::clock_res_get;
        clock_time_get(clock: u32, precision: u64, time: u32) = clock::clock_time_get;
        poll_oneoff(subscriptions: u32, events: u32, count: u32, stored: u32) = poll::poll_oneoff;

        fd_advise(fd: u32, offset: u64, length: u64, advice: u32) = descriptor::fd_advise;
        fd_allocate(fd: u32, offset: u64, length: u64) = descriptor::fd_allocate;
        fd_close(fd: u32) = descriptor::fd_close;
        fd_datasync(fd: u32) = descriptor::fd_sync;
        fd_fdstat_get(fd: u32, status: u32) = descriptor::fd_fdstat_get;
        fd_fdstat_set_flags(fd: u32, flags: u32) = descriptor::fd_fdstat_set_flags;
        fd_fdstat_set_rights(fd: u32, base: u64, inheriting: u64) = descriptor::fd_fdstat_set_rights;
        fd_filestat_get(fd: u32, status: u32) = descriptor::fd_filestat_get;
        fd_filestat_set_size(fd: u32, size: u64) = descriptor::fd_filestat_set_size;
        fd_filestat_set_times(fd: u32, accessed: u64, modified: u64, flags: u32) = descriptor::fd_filestat_set_times;
        fd_prestat_get(fd: u32, prestat: u32) = descriptor::fd_prestat_get;
        fd_prestat_dir_name(fd: u32, path: u32, length: u32) = descriptor::fd_prestat_dir_name;
        fd_renumber(from: u32, to: u32) = descriptor::fd_renumber;
        fd_seek(fd: u32, offset: i64, whence: u32, position: u32) = descriptor::fd_seek;
        fd_sync(fd: u32) = descriptor::fd_sync;
        fd_tell(fd: u32, position: u32) = descriptor::fd_tell;

        fd_read(fd: u32, buffers: u32, count: u32, read: u32) = transfer::fd_read;
        fd_pread(fd: u32, buffers: u32, count: u32, offset: u64, read: u32) = transfer::fd_pread;
        fd_write(fd: u32, buffers: u32, count: u32, written: u32) = transfer::fd_write;
        fd_pwrite(fd: u32, buffers: u32, count: u32, offset: u64, written: u32) = transfer::fd_pwrite;
        fd_readdir(fd: u32, buffer: u32, length: u32, cookie: u64, used: u32) = directory::fd_readdir;

        path_create_directory(fd: u32, path: u32, length: u32) = path::path_create_directory;
        path_filestat_get(fd: u32, flags: u32, path: u32, length: u32, status: u32) = path::path_filestat_get;
        path_filestat_set_times(fd: u32, flags: u32, path: u32, length: u32, accessed: u64, modified: u64, times: u32) = path::path_filestat_set_times;
        path_link(old_fd: u32, old_flags: u32, old: u32, old_length: u32, new_fd: u32, new: u32, new_length: u32) = path::path_link;
        path_open(fd: u32, lookup: u32, path: u32, length: u32, open: u32, rights: u64, inheriting: u64, flags: u32, opened: u32) = path::path_open;
        path_readlink(fd: u32, path: u32, length: u32, buffer: u32, buffer_length: u32, used: u32) = path::path_readlink;
        path_remove_directory(fd: u32, path: u32, length: u32) = path::path_remove_directory;
        path_rename(fd: u32, old: u32, old_length: u32, new_fd: u32, new: u32, new_length: u32) = path::path_rename;
        path_symlink(old: u32, old_length: u32, fd: u32, new: u32, new_length: u32) = path::path_symlink;
        path_unlink_file(fd: u32, path: u32, length: u32) = path::path_unlink_file;

        sock_accept(fd: u32, flags: u32, accepted: u32) = socket::sock_accept;
        sock_recv(fd: u32, buffers: u32, count: u32, flags: u32, received: u32, out_flags: u32) = socket::sock_recv;
        sock_send(fd: u32, buffers: u32, count: u32, flags: u32, sent: u32) = socket::sock_send;
        sock_shutdown(fd: u32, how: u32) = socket::sock_shutdown;
    );
    // The only one that does not come back.
    linker.func_wrap(MODULE, "proc_exit", |_: Caller<'_, State>, code: u32| -> wasmtime::Result<()> {
        Err(Stop::Exit(code).into())
    })?;
    Ok(())
}

/// `usize` to the interface's `size`, which is 32 bits wide.
fn size(value: usize) -> Result<u32, Errno> {
    u32::try_from(value).map_err(|_| Errno::Overflow)
}

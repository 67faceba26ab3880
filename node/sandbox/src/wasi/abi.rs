//! Numbers of the WASI preview 1 binary interface (`wasi_snapshot_preview1.witx`).

/// Error numbers that this implementation returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum Errno {
    BadDescriptor = 8,
    Exists = 20,
    Fault = 21,
    IllegalSequence = 25,
    Invalid = 28,
    IsDirectory = 31,
    TooManyOpen = 33,
    NameTooLong = 37,
    NotFound = 44,
    NotDirectory = 54,
    NotEmpty = 55,
    NotSocket = 57,
    NotSupported = 58,
    Overflow = 61,
    NotPermitted = 63,
    ReadOnly = 69,
    IllegalSeek = 70,
    NotCapable = 76,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum FileType {
    CharacterDevice = 2,
    Directory = 3,
    RegularFile = 4,
}

pub(crate) mod rights {
    pub(crate) const FD_READ: u64 = 1 << 1;
    pub(crate) const FD_SEEK: u64 = 1 << 2;
    pub(crate) const FD_TELL: u64 = 1 << 5;
    pub(crate) const FD_WRITE: u64 = 1 << 6;
    /// Everything preview 1 names. What may be done is decided by where a file lies and how it was opened.
    pub(crate) const ALL: u64 = (1 << 30) - 1;
    /// wasi-libc takes a character device that can neither seek nor tell for a terminal, and then
    /// writes out every line: the log of a program that traps is whole up to that point.
    pub(crate) const STREAM: u64 = ALL & !(FD_SEEK | FD_TELL);
}

pub(crate) mod descriptor_flags {
    pub(crate) const APPEND: u16 = 1 << 0;
    /// APPEND, DSYNC, NONBLOCK, RSYNC, SYNC; the last four change nothing here.
    pub(crate) const ALL: u16 = (1 << 5) - 1;
}

pub(crate) mod open_flags {
    pub(crate) const CREATE: u32 = 1 << 0;
    pub(crate) const DIRECTORY: u32 = 1 << 1;
    pub(crate) const EXCLUSIVE: u32 = 1 << 2;
    pub(crate) const TRUNCATE: u32 = 1 << 3;
    pub(crate) const ALL: u32 = (1 << 4) - 1;
}

pub(crate) mod whence {
    pub(crate) const SET: u32 = 0;
    pub(crate) const CURRENT: u32 = 1;
    pub(crate) const END: u32 = 2;
}

pub(crate) mod event {
    pub(crate) const CLOCK: u8 = 0;
    pub(crate) const READ: u8 = 1;
    pub(crate) const WRITE: u8 = 2;
    /// In the flags of a clock subscription: the timeout is a point in time.
    pub(crate) const ABSOLUTE: u16 = 1 << 0;
    pub(crate) const SUBSCRIPTION_BYTES: u32 = 48;
    pub(crate) const EVENT_BYTES: u32 = 32;
}

/// Realtime, monotonic, process time, thread time: all show the one clock of the contract.
pub(crate) const CLOCKS: u32 = 4;
/// `__WASI_PREOPENTYPE_DIR`
pub(crate) const PREOPEN_DIRECTORY: u8 = 0;
/// Bytes of a `dirent` before the name.
pub(crate) const DIRENT_BYTES: usize = 24;

//! From the bytes of a module to something that can be instantiated.
//!
//! [`check`] reads a module once: it bounds what the compiler will be given, validates it against
//! [`crate::engine::FEATURES`], refuses imports that are not WASI's, and writes it again with a
//! meter for the depth of calls ([`meter`]). [`ModuleCache`] compiles the result and keeps it.
//!
//! Whether a module is refused is a verdict, so it must not depend on the machine or on the
//! compiler: only the bounds and the validator here decide it. A compiler that refuses what they
//! let through is a local failure.

mod cache;
mod check;
mod encode;
mod inspect;
mod meter;
mod work;

pub(crate) use cache::{Compiled, ModuleCache, Refusal};
pub use inspect::Inspector;

/// Whole modules longer than this are refused.
pub(crate) const MAXIMUM_MODULE_BYTES: u64 = 32 << 20;
/// The bytes of all functions, which is what compiling takes its time from.
pub(crate) const MAXIMUM_CODE_BYTES: usize = 16 << 20;
/// The bytes of one function: the compiler takes up to 600 MB of memory for so many.
pub(crate) const MAXIMUM_FUNCTION_BYTES: usize = 1 << 19;
/// Functions, and as many types, globals and exports.
pub(crate) const MAXIMUM_ITEMS: u32 = 100_000;
/// The compiler's work ([`work`]) on one function and on all, in estimated nanoseconds.
pub(crate) const MAXIMUM_FUNCTION_WORK: u64 = 8_000_000_000;
pub(crate) const MAXIMUM_WORK: u64 = 60_000_000_000;
/// Elements of all tables together, at any moment.
pub(crate) const MAXIMUM_TABLE_ELEMENTS: u64 = 1 << 20;

/// How deep calls may go, in metered bytes. A call takes [`FRAME_BYTES`] and [`SLOT_BYTES`] for
/// each of its parameters, locals, and operands at the deepest point of its operand stack.
pub(crate) const STACK_BYTES: u32 = 8 << 20;
pub(crate) const FRAME_BYTES: u32 = 64;
pub(crate) const SLOT_BYTES: u32 = 8;

/// Names the meter exports under; a module may not export anything that begins so.
pub(crate) const RESERVED_PREFIX: &str = "valo:";
pub(crate) const STACK_EXPORT: &str = "valo:stack";
pub(crate) const START_EXPORT: &str = "valo:start";

/// What a module needs before its first instruction, and whether it has a start function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) memory_bytes: u64,
    pub(crate) table_elements: u64,
    pub(crate) has_start: bool,
    /// Whether there is a memory by the name that WASI looks for.
    pub(crate) exports_memory: bool,
}

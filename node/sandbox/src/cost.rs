//! What work costs in fuel, where it is not one unit for one WebAssembly instruction.
//!
//! The table is part of the digest of every run: changing a number here is a change of the
//! protocol, which happens at a height. wasmtime's own table gives one unit to most instructions,
//! none to `nop`, `drop`, `block`, `loop`, `end`, `else`, `return` and `unreachable`, and one more
//! for every byte or element a bulk instruction moves. A unit is about a nanosecond or less.

use wasmtime::OperatorCost;

/// Any call of a host function, before its own costs.
pub(crate) const CALL: u64 = 100;
/// Each buffer of a list; bytes that move cost one unit each.
pub(crate) const BUFFER: u64 = 10;
/// Each entry of a directory listing, besides the bytes of its name.
pub(crate) const ENTRY: u64 = 50;
/// Each subscription of a poll.
pub(crate) const SUBSCRIPTION: u64 = 50;

/// `memory.grow` is a system call, and each page of 64 KiB is cleared by the host when touched.
const MEMORY_GROW: u8 = 250;
const MEMORY_GROW_PER_PAGE: u8 = 255;
/// `table.grow` leaves the guest for the runtime.
const TABLE_GROW: u8 = 100;

pub(crate) fn operators() -> OperatorCost {
    let mut cost = OperatorCost::new();
    cost.MemoryGrow = MEMORY_GROW;
    cost.TableGrow = TABLE_GROW;
    cost.variable.memory_grow_per_page = MEMORY_GROW_PER_PAGE;
    cost
}

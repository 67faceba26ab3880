//! Arguments, environment, randomness, and the little there is of a process.

use super::{Answer, Context, abi::Errno, size};
use crate::state::State;

type Strings = fn(&State) -> &[Vec<u8>];

/// How a list of strings is asked for.
fn sizes(context: &mut Context<'_>, strings: Strings, count: u32, bytes: u32) -> Answer {
    let strings = strings(context.state);
    let number = size(strings.len())?;
    let total = size(strings.iter().map(|string| string.len() + 1).sum())?;
    context.guest.write_u32(count, number)?;
    context.guest.write_u32(bytes, total)?;
    Ok(())
}

/// Writes the strings one after another, each with a zero byte behind it, and where each begins.
fn copy(context: &mut Context<'_>, strings: Strings, pointers: u32, bytes: u32) -> Answer {
    let total: usize = strings(context.state).iter().map(|string| string.len() + 1).sum();
    context.charge(total as u64)?;
    let strings = strings(context.state).to_vec();
    let (mut pointer_at, mut byte_at) = (pointers, bytes);
    for mut string in strings {
        string.push(0);
        context.guest.write_u32(pointer_at, byte_at)?;
        context.guest.write(byte_at, &string)?;
        pointer_at = pointer_at.checked_add(4).ok_or(Errno::Fault)?;
        byte_at = byte_at.checked_add(size(string.len())?).ok_or(Errno::Fault)?;
    }
    Ok(())
}

pub(super) fn args_get(context: &mut Context<'_>, pointers: u32, bytes: u32) -> Answer {
    copy(context, |state| &state.arguments, pointers, bytes)
}

pub(super) fn args_sizes_get(context: &mut Context<'_>, count: u32, bytes: u32) -> Answer {
    sizes(context, |state| &state.arguments, count, bytes)
}

pub(super) fn environ_get(context: &mut Context<'_>, pointers: u32, bytes: u32) -> Answer {
    copy(context, |state| &state.environment, pointers, bytes)
}

pub(super) fn environ_sizes_get(context: &mut Context<'_>, count: u32, bytes: u32) -> Answer {
    sizes(context, |state| &state.environment, count, bytes)
}

pub(super) fn random_get(context: &mut Context<'_>, buffer: u32, length: u32) -> Answer {
    context.charge(u64::from(length))?;
    context.state.randomness.fill(context.guest.slice_mut(buffer, length)?);
    Ok(())
}

pub(super) fn sched_yield(_: &mut Context<'_>) -> Answer {
    Ok(())
}

pub(super) fn proc_raise(_: &mut Context<'_>, _signal: u32) -> Answer {
    Err(Errno::NotSupported.into())
}

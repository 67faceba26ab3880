//! Waiting: nothing here ever blocks.
//!
//! Descriptors are always ready. When only clocks are waited for, the earliest rings at once and
//! the contract's clock jumps to it, so a program that sleeps for an hour takes no time.

use super::{
    Answer, Context,
    abi::{CLOCKS, Errno, event},
};
use crate::cost;

#[derive(Clone, Copy)]
enum Wait {
    /// Until then, on the contract's clock.
    Until(u64),
    /// Ready, or an error of its own; the type is echoed.
    Now { kind: u8, error: u16 },
}

/// More subscriptions than this in one call are refused.
const MAXIMUM_SUBSCRIPTIONS: u32 = 4_096;

fn subscription(context: &Context<'_>, at: u32) -> Result<(u64, Wait), Errno> {
    let offset = |bytes: u32| at.checked_add(bytes).ok_or(Errno::Fault);
    let user_data = context.guest.read_u64(at)?;
    let kind = context.guest.read_u8(offset(8)?)?;
    let wait = match kind {
        event::CLOCK => {
            let clock = context.guest.read_u32(offset(16)?)?;
            let timeout = context.guest.read_u64(offset(24)?)?;
            let flags = context.guest.read_u16(offset(40)?)?;
            if clock >= CLOCKS {
                Wait::Now { kind, error: Errno::Invalid as u16 }
            } else if flags & event::ABSOLUTE != 0 {
                Wait::Until(timeout)
            } else {
                Wait::Until(context.state.clock.now().saturating_add(timeout))
            }
        }
        event::READ | event::WRITE => {
            let known = context.state.descriptors.get(context.guest.read_u32(offset(16)?)?);
            Wait::Now { kind, error: known.err().map_or(0, |errno| errno as u16) }
        }
        _ => return Err(Errno::Invalid),
    };
    Ok((user_data, wait))
}

pub(super) fn poll_oneoff(
    context: &mut Context<'_>,
    subscriptions: u32,
    events: u32,
    count: u32,
    stored: u32,
) -> Answer {
    if count == 0 || count > MAXIMUM_SUBSCRIPTIONS {
        return Err(Errno::Invalid.into());
    }
    context.charge(u64::from(count) * cost::SUBSCRIPTION)?;
    let mut waits = Vec::new();
    for index in 0..count {
        let at = index.checked_mul(event::SUBSCRIPTION_BYTES).and_then(|offset| subscriptions.checked_add(offset));
        waits.push(subscription(context, at.ok_or(Errno::Fault)?)?);
    }
    let something_is_ready = waits.iter().any(|(_, wait)| matches!(wait, Wait::Now { .. }));
    let earliest = waits.iter().filter_map(|(_, wait)| match wait {
        Wait::Until(time) => Some(*time),
        Wait::Now { .. } => None,
    });
    if let Some(time) = earliest.min()
        && !something_is_ready
    {
        let clock = &mut context.state.clock;
        clock.sleep(time.saturating_sub(clock.now()));
    }
    let now = context.state.clock.now();
    let mut at = events;
    let mut number = 0u32;
    for (user_data, wait) in waits {
        let (kind, error) = match wait {
            Wait::Until(time) if time <= now => (event::CLOCK, 0),
            Wait::Until(_) => continue,
            Wait::Now { kind, error } => (kind, error),
        };
        write_event(context, at, user_data, kind, error)?;
        at = at.checked_add(event::EVENT_BYTES).ok_or(Errno::Fault)?;
        number += 1;
    }
    context.guest.write_u32(stored, number)?;
    Ok(())
}

fn write_event(context: &mut Context<'_>, at: u32, user_data: u64, kind: u8, error: u16) -> Result<(), Errno> {
    let event = context.guest.slice_mut(at, event::EVENT_BYTES)?;
    event.fill(0);
    let fields: [(usize, &[u8]); 3] = [(0, &user_data.to_le_bytes()), (8, &error.to_le_bytes()), (10, &[kind])];
    for (offset, bytes) in fields {
        let field = event.get_mut(offset..).and_then(|rest| rest.get_mut(..bytes.len()));
        field.ok_or(Errno::Fault)?.copy_from_slice(bytes);
    }
    Ok(())
}

//! Looking at the clock.

use super::{
    Answer, Context,
    abi::{CLOCKS, Errno},
    world::RESOLUTION,
};

pub(super) fn clock_res_get(context: &mut Context<'_>, clock: u32, resolution: u32) -> Answer {
    if clock >= CLOCKS {
        return Err(Errno::Invalid.into());
    }
    context.guest.write_u64(resolution, RESOLUTION)?;
    Ok(())
}

pub(super) fn clock_time_get(context: &mut Context<'_>, clock: u32, _precision: u64, time: u32) -> Answer {
    if clock >= CLOCKS {
        return Err(Errno::Invalid.into());
    }
    let now = context.state.clock.look();
    context.guest.write_u64(time, now)?;
    Ok(())
}

//! Jobs on whole chains in memory, with workers of every character.

mod faults;
mod life;
mod limits;
mod pauses;
mod random;
pub(crate) mod workers;

//! The promises, one file for each subject.

pub mod charts;
pub mod custom_resources;
pub mod drift;
pub mod images;
pub mod join;
pub mod machines;
pub mod testbed;

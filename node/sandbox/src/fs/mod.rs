//! The file system a program sees, and the descriptors it has open.

mod change;
pub(crate) mod descriptor;
mod host;
pub(crate) mod listing;
mod tree;

pub(crate) use descriptor::{Descriptor, Descriptors, Directory, OpenFile};
pub(crate) use host::OpenFiles;
pub(crate) use tree::{Fault, IN, MAXIMUM_PATH, NodeId, OUT, Place, ROOT, Status, Tree};

#[cfg(test)]
mod tests;

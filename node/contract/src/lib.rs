//! A job contract as users write it: the `spec` of the YAML that `valo job submit -f` and `kubectl apply -f` take.
//!
//! One set of types for both: the command line reads them from files, the custom resource `JobContract` takes its
//! schema from them. Nothing here knows a network or Kubernetes. [`resolve`] makes of a document and its files what the
//! chain takes: it splits files, names blobs, resolves stages.
//!
//! [`chain`] is the same for a new chain: its description, shared by `valo genesis new` and the custom resource `Network`.

pub mod chain;
mod own_words;
pub mod quantity;
pub mod resolve;
mod schema;
mod source;
mod spec;

pub use own_words::own_words;
pub use source::{Entry, Source};
pub use spec::*;

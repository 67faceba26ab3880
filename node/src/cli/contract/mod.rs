//! From the YAML that people write to the contract that the chain takes: [`valo_contract::resolve`], which the operator
//! uses too, and its errors as the command line prints them.

pub use valo_contract::resolve::*;

#[cfg(test)]
mod tests;

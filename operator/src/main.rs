//! The binary: everything is in the library.

use clap::Parser;
use valo_operator::{arguments::Arguments, run};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    Box::pin(run::run(Arguments::parse())).await
}

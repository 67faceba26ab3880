//! Jobs for tests, written into the user's folder.

use crate::{User, repository};
use std::{fs, path::PathBuf};

/// A job document with one stage in tier `small`. `program` is the stage's `wasm`, `more` goes into `spec`.
pub fn document(program: &str, shards: u32, more: &str) -> String {
    format!(
        "apiVersion: valo.network/v1alpha1\nkind: JobContract\nmetadata: {{name: test}}\nspec:\n  budget: \"5\"\n  \
         deadline: 10m\n{more}  stages:\n  - name: one\n    tier: small\n    shards: {shards}\n    wasm: {program}\n"
    )
}

/// A job that counts primes, for some tenths of a second a shard. `more` goes into `spec`.
pub fn primes(user: &User, shards: u32, more: &str) -> anyhow::Result<String> {
    let module = repository().join("examples/primes/primes.wasm").canonicalize()?;
    let program = format!(
        "{{module: {}, args: [\"--from\", \"1000000000000\", \"--to\", \"1000040000000\"], fuel: 1G, memory: 16Mi}}",
        module.display()
    );
    write(user, "primes.yaml", &document(&program, shards, more))
}

/// A job that runs a module given as WebAssembly text.
pub fn wat(user: &User, name: &str, text: &str, limits: &str) -> anyhow::Result<String> {
    fs::write(user.path(&format!("{name}.wasm")), wat::parse_str(text)?)?;
    let program = format!("{{module: {name}.wasm, {limits}}}");
    write(user, &format!("{name}.yaml"), &document(&program, 1, ""))
}

/// Writes a document, and gives its path as an argument.
pub fn write(user: &User, name: &str, text: &str) -> anyhow::Result<String> {
    let path: PathBuf = user.path(name);
    fs::write(&path, text)?;
    Ok(path.display().to_string())
}

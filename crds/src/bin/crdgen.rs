//! `crdgen`: writes the manifests of the custom resources and their reference into the repository.
//!
//! The one argument is the root of the repository; the present folder unless given.

use anyhow::Context;
use std::{env, fs, path::PathBuf};

fn main() -> anyhow::Result<()> {
    let root = env::args_os().nth(1).map_or_else(|| PathBuf::from("."), PathBuf::from);
    for (path, content) in valo_crds::generated()? {
        let file = root.join(&path);
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        fs::write(&file, content).with_context(|| format!("cannot write {}", file.display()))?;
        println!("{path}");
    }
    Ok(())
}

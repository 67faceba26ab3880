//! `crdgen`: writes the manifests of the custom resources, the templates of their chart and their reference into the
//! repository.
//!
//! ```console
//! $ crdgen [REPOSITORY]          the present folder unless given
//! $ crdgen --schemas FOLDER      JSON schemas for kubeconform, in place of all this
//! ```

use anyhow::Context;
use std::{env, fs, path::Path};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["--schemas", folder] => schemas(Path::new(folder)),
        [] => generated(Path::new(".")),
        [root] if !root.starts_with('-') => generated(Path::new(root)),
        _ => anyhow::bail!("usage: crdgen [REPOSITORY] | crdgen --schemas FOLDER"),
    }
}

fn generated(root: &Path) -> anyhow::Result<()> {
    for (path, content) in valo_crds::generated()? {
        write(&root.join(&path), &content)?;
        println!("{path}");
    }
    Ok(())
}

fn schemas(folder: &Path) -> anyhow::Result<()> {
    for (name, schema) in valo_crds::schemas() {
        write(&folder.join(name), &schema.to_string())?;
    }
    Ok(())
}

fn write(file: &Path, content: &str) -> anyhow::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    fs::write(file, content).with_context(|| format!("cannot write {}", file.display()))
}

//! Runs one program as a worker would, on folders of this machine:
//!
//! `cargo run --release -p valo-sandbox --example run -- MODULE IN OUT [ARGUMENT...]`
//!
//! IN is seen as `/in`; what is left in `/out` is written to OUT. The shard is 0 of 1.

use std::{error::Error, fs, path::Path, time::Duration};

use valo_protocol::BlobHash;
use valo_sandbox::{InputFile, Limits, ModuleSource, RunRequest, Sandbox, SandboxConfig, Source, World};

type Outcome<T> = Result<T, Box<dyn Error>>;

fn inputs(folder: &Path, root: &Path, files: &mut Vec<InputFile>) -> Outcome<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            inputs(&path, root, files)?;
            continue;
        }
        let name = path.strip_prefix(root)?.to_str().ok_or("a file name is not UTF-8")?.parse()?;
        files.push(InputFile { path: name, size: path.metadata()?.len(), hash: None, source: Source::Path(path) });
    }
    Ok(())
}

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: run MODULE IN OUT [ARGUMENT...]";
    let (module, from, to) =
        (arguments.next().ok_or(usage)?, arguments.next().ok_or(usage)?, arguments.next().ok_or(usage)?);
    let bytes = fs::read(&module)?;
    let mut files = Vec::new();
    inputs(Path::new(&from), Path::new(&from), &mut files)?;
    let sandbox = Sandbox::new(&SandboxConfig { threads: 1, ..SandboxConfig::default() })?;
    let output = sandbox.run(RunRequest {
        module: ModuleSource { hash: BlobHash::of(&bytes), source: Source::Path(module.clone().into()) },
        arguments: std::iter::once(module).chain(arguments).collect(),
        shard: 0,
        shards: 1,
        stage: "run".into(),
        inputs: files,
        world: World { seed: [0; 32], start: 0 },
        limits: Limits {
            fuel: 1 << 40,
            memory: 1 << 30,
            output: 1 << 30,
            wall: Duration::from_secs(3600),
            log: 1 << 20,
        },
    })?;
    output.write_to(Path::new(&to))?;
    print!("{}", output.stdout.text());
    eprint!("{}", output.stderr.text());
    if let Some(detail) = &output.detail {
        eprintln!("{detail}");
    }
    eprintln!(
        "{}; {} fuel in {:?}; {} files; digest {}",
        output.record.status,
        output.record.fuel,
        output.wall,
        output.files.len(),
        output.record.digest()
    );
    Ok(())
}

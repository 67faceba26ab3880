//! What a contract needs of the network, looked at before anything is uploaded or signed: programs that every worker would
//! refuse, and blobs that nobody has, would be paid for and fail.

use crate::cli::{
    contract::{Blob, FieldError, Opened, Plan},
    human,
};
use valo_client::{Client, ClientError};
use valo_protocol::{BlobHash, job::Program};
use valo_sandbox::{Detail, Inspector};

/// The program of a stage.
struct Module {
    field: String,
    /// The memory that it may take.
    memory: u64,
    bytes: Bytes,
}

/// Where the bytes of a program are.
enum Bytes {
    /// In a file of ours.
    Here(Blob),
    /// They came from the network.
    Fetched(Vec<u8>),
}

/// Refuses programs that could not start, and blobs that nobody has.
pub async fn check(client: &Client, opened: &Opened, plan: &Plan) -> anyhow::Result<()> {
    let refused = |error: FieldError| anyhow::Error::from(opened.at(error));
    let unreachable = |hash: BlobHash, field: &str, error: ClientError| match error {
        ClientError::BlobTooLarge { .. } => refused(FieldError::new(field, too_long())),
        error if error.is_not_found() => {
            let reason = format!("no node has blob {hash}; name a file, or upload it with `valo blob put`");
            refused(FieldError::new(field, reason))
        }
        error => error.into(),
    };
    let mut modules = Vec::new();
    for (index, stage) in plan.draft().stages.iter().enumerate() {
        let Program::Wasm { module, .. } = &stage.program else { continue };
        let field = format!("spec.stages[{index}].wasm.module");
        let bytes = match plan.blobs.upload(module) {
            Some(blob) => Bytes::Here(blob.clone()),
            None => {
                let fetched = client.download_bytes(*module, &[], Inspector::MOST).await;
                Bytes::Fetched(fetched.map_err(|error| unreachable(*module, &field, error))?.into())
            }
        };
        modules.push(Module { field, memory: stage.memory, bytes });
    }
    for (hash, field) in plan.blobs.references() {
        let Some(field) = field.filter(|field| !field.ends_with(".wasm.module")) else { continue };
        // The node looks for it at others; its bytes are not needed here.
        client.download(*hash).await.map_err(|error| unreachable(*hash, field, error))?;
    }
    let verdict = tokio::task::spawn_blocking(move || inspect(&modules)).await??;
    verdict.map_err(refused)
}

/// Looks at programs with the rules of the workers.
fn inspect(modules: &[Module]) -> anyhow::Result<Result<(), FieldError>> {
    let inspector = Inspector::new()?;
    for Module { field, memory, bytes } in modules {
        let read;
        let bytes = match bytes {
            Bytes::Fetched(bytes) => Some(bytes),
            Bytes::Here(blob) => {
                read = blob.read(Inspector::MOST)?;
                read.as_ref()
            }
        };
        let verdict = bytes.ok_or_else(too_long).and_then(|bytes| inspector.check(bytes, *memory).map_err(words));
        if let Err(reason) = verdict {
            return Ok(Err(FieldError::new(field, reason)));
        }
    }
    Ok(Ok(()))
}

fn too_long() -> String {
    format!("it is longer than {}, the most that a program has", human::size(Inspector::MOST))
}

/// The verdict of the workers, of a program that has not run.
fn words(detail: Detail) -> String {
    match detail {
        Detail::InitialMemory { needed, limit } => {
            format!("it takes {} to start, and `memory` is {}", human::size(needed), human::size(limit))
        }
        Detail::InvalidModule { reason } => format!("no worker could run it: {reason}"),
        other => format!("no worker could run it: {other}"),
    }
}

//! Blobs that a contract names by their digests: a job without one of them fails when its budget is in escrow, so it is
//! not submitted before the network has them.

use super::dereference::{Found, Waits};
use crate::chain::{Chain, ChainError};
use std::{collections::BTreeMap, time::Duration};
use valo_contract::{
    Entry, Source,
    resolve::{Document, Plan},
};
use valo_crds::JobReason;
use valo_protocol::BlobHash;

/// How long the node may take to get one from others. What takes longer it has when it is asked again.
const PATIENCE: Duration = Duration::from_secs(20);

/// A blob that is not on the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    field: String,
    digest: BlobHash,
}

impl Missing {
    /// What the contract waits for.
    pub fn waits(&self) -> Waits {
        let Self { field, digest } = self;
        let (reason, way) = match field.ends_with(".module") {
            true => (JobReason::ModuleNotFound, "upload it with `valo blob put`, or name a file of spec.filesFrom"),
            false => (JobReason::InputNotFound, "upload it with `valo blob put`"),
        };
        Waits::new(reason, format!("{field}: no node has blob {digest} yet; {way}"))
    }

    /// Whether it comes with the contract all the same.
    pub fn is_among(&self, plan: &Plan) -> bool {
        plan.blobs.upload(&self.digest).is_some()
    }
}

/// Asks for the blobs of a contract. Of inputs the first that is missing is what it waits for: without its length there
/// is nothing to check. A program or a manifest can be missing from a contract that is wrong for good, which is said first.
pub async fn ask(chain: &Chain, document: &Document, found: &mut Found) -> Result<(), ChainError> {
    for (digest, field) in inputs(document) {
        match find(chain, digest).await? {
            Some(size) => drop(found.sizes.insert(digest, size)),
            None => {
                found.waits = Some(Missing { field, digest }.waits());
                return Ok(());
            }
        }
    }
    for (digest, field) in programs_and_manifests(document) {
        if find(chain, digest).await?.is_none() {
            found.missing = Some(Missing { field, digest });
            return Ok(());
        }
    }
    Ok(())
}

/// The length of a blob that the network has.
async fn find(chain: &Chain, digest: BlobHash) -> Result<Option<u64>, ChainError> {
    match tokio::time::timeout(PATIENCE, chain.client.find_blob(digest)).await {
        Ok(info) => Ok(info?.map(|info| info.size)),
        Err(_) => Ok(None),
    }
}

/// Inputs for which the contract says no length, each with the first field that names it. Where it says one, the
/// network is not asked.
fn inputs(document: &Document) -> BTreeMap<BlobHash, String> {
    let mut all = BTreeMap::new();
    for (index, stage) in document.spec.stages.iter().enumerate() {
        let Some(input) = &stage.input else { continue };
        let lists = input.shards.iter().flatten().flatten();
        for entry in input.file.iter().chain(input.files.iter().flatten()).chain(lists) {
            if let Entry::Blob { digest, size: None, .. } = entry {
                all.entry(*digest).or_insert_with(|| format!("spec.stages[{index}].input"));
            }
        }
    }
    all
}

/// Programs and manifests by digest, each with the first field that names it.
fn programs_and_manifests(document: &Document) -> BTreeMap<BlobHash, String> {
    let mut all = BTreeMap::new();
    for (index, stage) in document.spec.stages.iter().enumerate() {
        let module = stage.wasm.as_ref().map(|wasm| (&wasm.module, "wasm.module"));
        let manifest = stage.input.as_ref().and_then(|input| input.manifest.as_ref());
        for (source, field) in module.into_iter().chain(manifest.map(|manifest| (manifest, "input.manifest"))) {
            if let Source::Blob(digest) = source {
                all.entry(*digest).or_insert_with(|| format!("spec.stages[{index}].{field}"));
            }
        }
    }
    all
}

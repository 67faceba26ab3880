//! From the object and its files to the contract that the chain takes, or the field that is wrong.

use super::{
    Error,
    dereference::{Found, Waits, document},
    price,
};
use crate::chain::Chain;
use std::{
    collections::BTreeMap,
    fs,
    path::{Component, Path},
    sync::Arc,
};
use tempfile::TempDir;
use valo_client::types::Job;
use valo_contract::{
    Entry, Source,
    resolve::{FieldError, Plan, plan},
};
use valo_crds::{JobContract, JobReason};
use valo_protocol::{BlobHash, SecretKey};

/// What is to be done with a contract.
#[derive(Debug)]
pub enum Checked {
    /// Nothing yet.
    Waits(Waits),
    /// It never will come onto the chain.
    Wrong(FieldError),
    /// It is submitted.
    Submitted(Option<Box<Job>>),
    /// It is to be submitted.
    Ready(Box<Ready>),
}

/// A contract that can be submitted.
#[derive(Debug)]
pub struct Ready {
    /// The chain.
    pub chain: Chain,
    /// The key that pays and signs.
    pub key: SecretKey,
    /// The contract, and the blobs it needs.
    pub plan: Plan,
    /// Where the files lie; they go with it.
    pub folder: TempDir,
}

/// Checks a contract. Files are read on a thread of their own.
pub async fn validate(job: Arc<JobContract>, found: Found) -> Result<Checked, Error> {
    let Found { waits, chain, key, job: on_chain, files, sizes, missing, market } = found;
    if let Some(waits) = waits {
        return Ok(Checked::Waits(waits));
    }
    let (Some(chain), Some(key), Some((parameters, tiers))) = (chain, key, market) else {
        return Ok(Checked::Submitted(on_chain.map(Box::new)));
    };
    let now = chain.status.time;
    let read = tokio::task::spawn_blocking(move || resolve(&job, &files, &sizes)).await??;
    let (plan, folder) = match read {
        Ok(read) => read,
        Err(wrong) => return Ok(Checked::Wrong(wrong)),
    };
    let market = price::market(now, &parameters, &tiers);
    let checked = plan.contract(now).and_then(|contract| market.check(&contract));
    if let (Ok(()), Some(missing)) = (&checked, missing.filter(|missing| !missing.is_among(&plan))) {
        return Ok(Checked::Waits(missing.waits()));
    }
    if let (Ok(()), Some(few)) = (&checked, market.too_few(plan.draft())) {
        return Ok(Checked::Waits(Waits::new(JobReason::TooFewWorkers, few.to_string())));
    }
    Ok(match checked {
        Ok(()) => Checked::Ready(Box::new(Ready { chain, key, plan, folder })),
        Err(wrong) => Checked::Wrong(wrong),
    })
}

type Resolved = Result<(Plan, TempDir), FieldError>;

/// Lays the files out and reads the contract, as the command line does in the folder of its document.
fn resolve(
    job: &JobContract,
    files: &BTreeMap<String, Vec<u8>>,
    sizes: &BTreeMap<BlobHash, u64>,
) -> Result<Resolved, std::io::Error> {
    let document = document(job);
    if let Some(wrong) = outside(&document.spec, files) {
        return Ok(Err(wrong));
    }
    let folder = tempfile::tempdir()?;
    for (path, contents) in files {
        let path = folder.path().join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, contents)?;
    }
    let read = plan(&document, folder.path(), sizes).map_err(|error| FieldError {
        // Where the files lay is nobody's business.
        reason: error.reason.replace(&format!("{}/", folder.path().display()), ""),
        field: error.field,
    });
    Ok(read.map(|plan| (plan, folder)))
}

/// A path that leads out of the files of the contract: into those of the operator.
fn outside(spec: &valo_contract::Spec, files: &BTreeMap<String, Vec<u8>>) -> Option<FieldError> {
    let leads_out =
        |path: &str| Path::new(path).components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir));
    if let Some(path) = files.keys().find(|path| leads_out(path)) {
        return Some(FieldError::new("spec.filesFrom", format!("`{path}` is no path inside a folder")));
    }
    let reason = |path: &str| format!("`{path}` is no path of a file in spec.filesFrom");
    for (index, stage) in spec.stages.iter().enumerate() {
        let field = format!("spec.stages[{index}]");
        if let Some(Source::Path(path)) = stage.wasm.as_ref().map(|wasm| &wasm.module)
            && leads_out(path)
        {
            return Some(FieldError::new(format!("{field}.wasm.module"), reason(path)));
        }
        let Some(input) = &stage.input else { continue };
        let lists = input.shards.iter().flatten().flatten();
        let mut entries = input.file.iter().chain(input.files.iter().flatten()).chain(lists);
        let wrong = entries.find_map(|entry| match entry {
            Entry::Path(path) if leads_out(path) => Some(path),
            _ => None,
        });
        if let Some(path) = wrong {
            return Some(FieldError::new(format!("{field}.input"), reason(path)));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use valo_protocol::{Parameters, Timestamp, params::Preset};
    use valo_resources_tests::{JOB, yaml};

    fn job(stage: serde_json::Value) -> JobContract {
        serde_json::from_value(json!({
            "apiVersion": "valo.network/v1alpha1", "kind": "JobContract",
            "metadata": {"name": "count", "namespace": "valo", "uid": "5d0c7f6e-0000-4000-8000-000000000001"},
            "spec": {
                "networkRef": {"name": "demo"}, "walletRef": {"name": "alice"}, "budget": "5", "deadline": "10m",
                "stages": [stage],
            },
        }))
        .unwrap()
    }

    fn files() -> BTreeMap<String, Vec<u8>> {
        [("count.wasm".to_owned(), b"\0asm\x01\0\0\0".to_vec()), ("in/a.txt".to_owned(), b"a\nb\n".to_vec())].into()
    }

    fn resolved(stage: serde_json::Value) -> Result<Plan, String> {
        let read = resolve(&job(stage), &files(), &BTreeMap::new()).unwrap();
        read.map(|(plan, _)| plan).map_err(|error| error.to_string())
    }

    #[test]
    fn files_of_config_maps_are_those_of_the_contract() {
        let stage = json!({
            "name": "one", "tier": "small", "wasm": {"module": "count.wasm"},
            "input": {"file": "in/a.txt", "split": {"lines": 1}},
        });
        let plan = resolved(stage).unwrap();
        assert_eq!(plan.draft().stages[0].shards, 2);
        assert!(plan.blobs.uploads().count() >= 2, "the module and what the shards read");
    }

    #[test]
    fn no_path_leads_to_files_of_the_operator() {
        for path in ["/var/run/secrets/kubernetes.io/serviceaccount/token", "../../etc/passwd", "in/../../x"] {
            let stage = json!({
                "name": "one", "tier": "small", "wasm": {"module": "count.wasm"}, "input": {"files": [path]},
            });
            let error = resolved(stage).unwrap_err();
            assert!(error.starts_with("spec.stages[0].input: "), "{error}");
            let stage = json!({"name": "one", "tier": "small", "wasm": {"module": path}});
            assert!(resolved(stage).unwrap_err().starts_with("spec.stages[0].wasm.module: "));
        }
        let outside: BTreeMap<String, Vec<u8>> = [("../x".to_owned(), vec![])].into();
        let stage = json!({"name": "one", "tier": "small", "wasm": {"module": "count.wasm"}});
        let error = resolve(&job(stage), &outside, &BTreeMap::new()).unwrap().map(|_| ()).unwrap_err();
        assert_eq!(error.field, "spec.filesFrom");
    }

    /// What a usual chain, with the tiers and files of the sample, says of a contract.
    fn refused(job: &JobContract) -> Option<String> {
        let mut files: BTreeMap<String, Vec<u8>> = [("raw.wasm".to_owned(), b"\0asm\x01\0\0\0".to_vec())].into();
        let items = job.spec.0.files_from.iter().flat_map(|from| &from.items);
        files.extend(items.map(|item| (item.path.clone(), vec![0; 4160])));
        let (plan, _folder) = match resolve(job, &files, &BTreeMap::new()).unwrap() {
            Ok(read) => read,
            Err(wrong) => return Some(wrong.to_string()),
        };
        let tier = |id: u16, name: &str, runtime: &str| {
            let memory = 1u64 << 30;
            let tier = json!({
                "name": name, "runtime": runtime, "milliCpu": 1000, "memory": memory, "stakePerSlot": "1000",
                "price": "0.001", "fuelPerSecond": 100_000_000,
            });
            serde_json::from_value(json!({"id": id, "nodes": 9, "owners": 9, "slots": 9, "busy": 0, "tier": tier}))
                .unwrap()
        };
        let tiers = [tier(0, "small", "wasm"), tier(1, "large", "container")];
        let parameters = Parameters::preset(Preset::Dev);
        let parameters = serde_json::from_value(json!({
            "height": 1, "parameters": parameters, "bytePrice": "0", "weightPrice": "0",
        }))
        .unwrap();
        let now = Timestamp(1_800_000_000_000);
        let market = price::market(now, &parameters, &tiers);
        plan.contract(now).and_then(|contract| market.check(&contract)).err().map(|wrong| wrong.to_string())
    }

    #[test]
    fn what_the_api_server_cannot_refuse_is_told_by_its_field() {
        assert_eq!(refused(&crate::testing::read(yaml(JOB))), None);
        for (case, job, says) in crate::testing::wrong::<JobContract>() {
            let said = refused(&job).unwrap_or_default();
            assert!(said.starts_with(&says), "{case}: {said}");
        }
    }

    #[test]
    fn what_is_wrong_names_the_field_and_no_place_of_the_operator() {
        let stage = json!({"name": "one", "tier": "small", "wasm": {"module": "other.wasm"}});
        assert_eq!(resolved(stage).unwrap_err(), "spec.stages[0].wasm.module: there is no file `other.wasm`");
    }
}

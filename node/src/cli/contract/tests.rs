//! Documents as people write them, good and bad. Each bad one must say what is wrong in one line, with its field.

use super::*;
use crate::cli::output::error_line;
use proptest::prelude::*;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};
use valo_protocol::{
    BlobHash, JobContract, Timestamp,
    encoding::decode,
    files::{FileTree, InputManifest},
    job::{Input, Merge, OnFailure, Program, StageIndex},
};

const NOW: Timestamp = Timestamp(1_900_000_000_000);

/// A folder with a module, a file of 1,000 bytes in ten lines, and three small texts.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("program.wasm"), b"\0asm\x01\0\0\0").unwrap();
    fs::write(at("notes.txt"), "no module").unwrap();
    fs::write(at("data.bin"), format!("{}\n", "x".repeat(99)).repeat(10)).unwrap();
    fs::write(at("empty.bin"), "").unwrap();
    fs::write(at("large.bin"), "x".repeat(100_001)).unwrap();
    fs::create_dir(at("texts")).unwrap();
    for name in ["a.txt", "b.txt", "c.txt", ".hidden.txt"] {
        fs::write(at("texts").join(name), name).unwrap();
    }
    folder
}

/// A document with one stage; `stage` and `spec` are lines added to them.
fn document(stage: &str, spec: &str) -> String {
    let stage: String = stage.lines().map(|line| format!("    {line}\n")).collect();
    let spec: String = spec.lines().map(|line| format!("  {line}\n")).collect();
    let budget = if spec.contains("budget:") { "" } else { "  budget: \"5\"\n" };
    let deadline = if spec.contains("deadline:") { "" } else { "  deadline: 10m\n" };
    let wasm =
        if stage.contains("wasm:") || stage.contains("container:") { "" } else { "    wasm: {module: program.wasm}\n" };
    format!(
        "apiVersion: valo.network/v1alpha1\nkind: JobContract\nmetadata: {{name: test}}\nspec:\n{budget}{deadline}{spec}  stages:\n  - name: one\n    tier: small\n{wasm}{stage}"
    )
}

fn run(text: &str, folder: &Path) -> Result<(Plan, JobContract), ReadError> {
    let path = folder.join("job.yaml");
    fs::write(&path, text).unwrap();
    let opened = open(&path)?;
    let plan = plan(&opened.document, &opened.folder, &BTreeMap::new()).map_err(|error| opened.at(error))?;
    let contract = plan.contract(NOW).map_err(|error| opened.at(error))?;
    Ok((plan, contract))
}

fn good(text: &str) -> (Plan, JobContract) {
    let folder = folder();
    run(text, folder.path()).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// The trees of the shards of a stage.
fn trees(plan: &Plan, contract: &JobContract, stage: u8) -> Vec<FileTree> {
    let Input::Files { manifest, .. } = &contract.stage(StageIndex(stage)).unwrap().input else { panic!("no files") };
    let blob = plan.blobs.uploads().find(|blob| blob.hash == *manifest).unwrap();
    let Contents::Bytes(bytes) = &blob.contents else { panic!("not in memory") };
    decode::<InputManifest>("manifest", bytes).unwrap().shards.into_inner()
}

fn paths(tree: &FileTree) -> Vec<&str> {
    tree.files().iter().map(|file| &*file.path).collect()
}

#[test]
fn defaults_are_the_documented_ones() {
    let (plan, contract) = good(&document("", ""));
    let stage = &contract.stages[0];
    assert_eq!((stage.memory, stage.output, stage.shards), (64 << 20, 8 << 20, 1));
    assert!(matches!(&stage.program, Program::Wasm { fuel, args, .. } if fuel.0 == 1_000_000_000 && args.is_empty()));
    assert_eq!((&stage.input, stage.on_failure), (&Input::None, OnFailure::Fail));
    assert_eq!(contract.merge, Merge::Folders);
    assert_eq!(contract.retention.0, 86_400_000);
    assert_eq!(contract.verification, valo_protocol::job::Verification::Replicated { replicas: 3, quorum: 2 });
    assert_eq!(contract.deadline, Timestamp(NOW.0 + 600_000));
    assert_eq!(plan.blobs.uploads().count(), 1, "the module");
    assert_eq!(contract.check(), Ok(()));
}

#[test]
fn the_examples_are_good() {
    let examples = Path::new("../examples");
    for (name, shards) in [("digits", vec![8, 8]), ("wordcount", vec![4, 1]), ("primes", vec![8])] {
        let opened = open(&examples.join(name).join("job.yaml")).unwrap();
        let plan = plan(&opened.document, &opened.folder, &BTreeMap::new()).unwrap();
        let contract = plan.contract(NOW).unwrap();
        assert_eq!(contract.check(), Ok(()), "{name}");
        assert_eq!(contract.stages.iter().map(|stage| stage.shards).collect::<Vec<_>>(), shards, "{name}");
        assert_eq!(contract.merge, Merge::Concatenate, "{name}");
    }
}

#[test]
fn file_names_are_kept_in_order() {
    let (plan, contract) = good(&document("input: {files: [\"texts/*.txt\"], split: {files: 2}}", ""));
    let trees = trees(&plan, &contract, 0);
    assert_eq!(trees.iter().map(paths).collect::<Vec<_>>(), [vec!["texts/a.txt", "texts/b.txt"], vec!["texts/c.txt"]]);
    assert_eq!(trees[1].files()[0].hash, BlobHash::of(b"c.txt"));
}

#[test]
fn a_split_file_is_uploaded_in_parts_under_its_name() {
    let (plan, contract) = good(&document("input: {file: data.bin, split: {lines: 1, shards: 3}}", ""));
    let trees = trees(&plan, &contract, 0);
    let sizes: Vec<u64> = trees.iter().map(FileTree::total_size).collect();
    assert_eq!(sizes, [400, 300, 300]);
    assert!(trees.iter().all(|tree| paths(tree) == ["data.bin"]));
    assert!(matches!(contract.stages[0].input, Input::Files { shard_bytes: 400, .. }));
    // Two shards are the same bytes, hence one blob: module, 400 bytes, 300 bytes, manifest.
    assert_eq!(plan.blobs.uploads().count(), 4);
}

#[test]
fn without_a_split_every_shard_reads_all() {
    let (plan, contract) = good(&document("shards: 3\ninput: {file: data.bin}", ""));
    let trees = trees(&plan, &contract, 0);
    assert_eq!(trees.len(), 3);
    assert!(trees.iter().all(|tree| tree.total_size() == 1000));
}

#[test]
fn inputs_can_be_named_for_each_shard_and_by_digest() {
    let digest = BlobHash::of(b"elsewhere");
    let (plan, contract) = good(&document(
        &format!(
            "wasm: {{module: \"blake3:{digest}\", fuel: 2.2G, args: [--from, 010]}}\n\
             input: {{shards: [[texts/a.txt], [data.bin, \"b/x@blake3:{digest}:9\"]]}}\n\
             retries: 2"
        ),
        "tip: 0.5\nverification: {replicas: 5}\nresult: {merge: concatenate, retention: 90s}",
    ));
    let trees = trees(&plan, &contract, 0);
    assert_eq!(trees.iter().map(paths).collect::<Vec<_>>(), [vec!["texts/a.txt"], vec!["b/x", "data.bin"]]);
    assert_eq!(plan.blobs.references().map(|(hash, _)| hash).collect::<Vec<_>>(), [&digest]);
    assert_eq!(contract.stages[0].on_failure, OnFailure::Retry(2));
    assert_eq!(contract.verification, valo_protocol::job::Verification::Replicated { replicas: 5, quorum: 3 });
    assert_eq!(contract.tip.to_string(), "0.5");
    assert!(matches!(&contract.stages[0].program, Program::Wasm { args, .. } if *args[1] == *"010"), "verbatim");
}

#[test]
fn paths_outside_the_folder_keep_what_follows_their_fixed_part() {
    let outer = folder();
    let inner = outer.path().join("jobs");
    fs::create_dir(&inner).unwrap();
    let text = document("wasm: {module: ../program.wasm}\ninput: {files: [\"../texts/*.txt\", ../data.bin]}", "");
    let (plan, contract) = run(&text, &inner).unwrap();
    assert_eq!(paths(&trees(&plan, &contract, 0)[0]), ["a.txt", "b.txt", "c.txt", "data.bin"]);
}

#[test]
fn a_deadline_may_be_a_moment() {
    let (plan, contract) = good(&document("", "deadline: 2030-06-01T00:00:00Z"));
    assert_eq!(contract.deadline, Timestamp(1_906_502_400_000));
    let error = plan.contract(Timestamp(1_906_502_400_000 + 90_000)).unwrap_err();
    assert_eq!(error.to_string(), "spec.deadline: it is in the past, by 1m 30s");
}

/// Second stage of documents with two.
const SECOND: &str = "- name: two\n  tier: large\n  wasm: {module: program.wasm}\n";

fn bad_documents() -> Vec<(&'static str, String)> {
    let two = |stage: &str, second: &str| {
        let second: String = format!("{SECOND}{second}").lines().map(|line| format!("  {line}\n")).collect();
        format!("{}{second}", document(stage, ""))
    };
    vec![
        ("not YAML", "apiVersion: [".to_owned()),
        ("a list", "- 1".to_owned()),
        ("another kind", document("", "").replace("JobContract", "Deployment")),
        ("another version", document("", "").replace("v1alpha1", "v9")),
        ("name that a terminal obeys", document("", "").replace("name: test", r#"name: "a\e[2J""#)),
        ("name of nothing", document("", "").replace("name: test", r#"name: """#)),
        ("name with a blank", document("", "").replace("name: test", r#"name: " test""#)),
        ("name that turns", document("", "").replace("name: test", r#"name: "a\u202eb""#)),
        ("very long name", document("", "").replace("name: test", &format!("name: {}", "n".repeat(65)))),
        ("unknown field of spec", document("", "colour: red")),
        ("unknown field of a stage", document("replica: 3", "")),
        ("unknown field of wasm", document("wasm: {module: program.wasm, ram: 1Gi}", "")),
        ("missing budget", document("", "").replace("  budget: \"5\"\n", "")),
        ("unusable budget", document("", "budget: five")),
        ("negative budget", document("", "budget: -5")),
        ("a tip above the budget", document("", "tip: 6")),
        ("no unit", document("", "deadline: 10")),
        ("more replicas than a byte", document("", "verification: {replicas: 300}")),
        ("wrong unit of time", document("", "deadline: 10min")),
        ("past deadline", document("", "deadline: 2020-01-01T00:00:00Z")),
        ("no time at all", document("", "deadline: 0s")),
        ("wrong unit of fuel", document("wasm: {module: program.wasm, fuel: 2Gi}", "")),
        ("wrong unit of memory", document("wasm: {module: program.wasm, memory: 64MB}", "")),
        ("too much memory", document("wasm: {module: program.wasm, memory: 2Gi}", "")),
        ("no fuel", document("wasm: {module: program.wasm, fuel: 0}", "")),
        ("list as argument", document("wasm: {module: program.wasm, args: [--from, [5]]}", "")),
        ("argument that ends early", document(r#"wasm: {module: program.wasm, args: [a, "b\0c"]}"#, "")),
        ("missing module", document("wasm: {module: missing.wasm}", "")),
        ("module that is none", document("wasm: {module: notes.txt}", "")),
        ("folder for a module", document("wasm: {module: texts}", "")),
        ("bad digest", document("wasm: {module: \"blake3:12\"}", "")),
        ("two programs", document("wasm: {module: program.wasm}\ncontainer: {image: a, seconds: 1}", "")),
        ("image without digest", document("container: {image: \"debian:12\", seconds: 60}", "")),
        ("bad name", document("", "").replace("name: one", "name: One_Stage")),
        ("bad quorum", document("", "verification: {replicas: 4, quorum: 2}")),
        ("too many replicas", document("", "verification: {replicas: 99, quorum: 98}")),
        ("missing file", document("input: {file: missing.bin}", "")),
        ("folder for a file", document("input: {file: texts}", "")),
        ("nothing matches", document("input: {files: [\"texts/*.csv\"]}", "")),
        ("no file", document("input: {files: []}", "")),
        ("a shard without a file", document("input: {shards: [[data.bin], []]}", "")),
        ("a shard for each byte of much", document("input: {file: large.bin, split: {bytes: 1}}", "")),
        ("bad pattern", document("input: {files: [\"texts/[a.txt\"]}", "")),
        ("pattern for one file", document("input: {file: \"texts/*.txt\"}", "")),
        ("two kinds of input", document("input: {file: data.bin, stage: one}", "")),
        ("each without a stage", document("input: {file: data.bin, each: true}", "")),
        ("no unit of a split", document("input: {file: data.bin, split: {shards: 2}}", "")),
        ("two units of a split", document("input: {file: data.bin, split: {lines: 1, bytes: 2}}", "")),
        ("split that does not divide", document("input: {file: data.bin, split: {records: 65}}", "")),
        ("fewer units than shards", document("input: {file: data.bin, split: {lines: 5, shards: 8}}", "")),
        ("nothing to split", document("input: {file: empty.bin, split: {lines: 5}}", "")),
        ("bytes of many files", document("input: {files: [\"texts/*.txt\"], split: {bytes: 5}}", "")),
        ("other number of shards", document("shards: 3\ninput: {file: data.bin, split: {lines: 5}}", "")),
        ("no shards", document("shards: 0", "")),
        ("too many shards", document("shards: 100001", "")),
        ("digest without a path", document(&format!("input: {{file: \"blake3:{}\"}}", "0".repeat(64)), "")),
        ("path out of the tree", document(&format!("input: {{file: \"../x@blake3:{}:1\"}}", "0".repeat(64)), "")),
        ("unknown stage", document("input: {stage: zero, each: true}", "")),
        ("itself", document("input: {stage: one, all: true}", "")),
        ("cycle", two("input: {stage: two, all: true}", "  input: {stage: one, all: true}")),
        ("later stage", two("input: {stage: two, all: true}", "")),
        ("neither each nor all", two("", "  input: {stage: one}")),
        ("each with other shards", two("shards: 4", "  shards: 2\n  input: {stage: one, each: true}")),
        ("one name twice", two("", "").replace("name: two", "name: one")),
        ("unknown failure rule", document("onFailure: retry", "")),
        ("retries of what may fail", document("onFailure: continue\nretries: 2", "")),
        ("unknown merge", document("", "result: {merge: zip}")),
        ("outputs kept for years", document("", "result: {retention: 9999h}")),
    ]
}

#[test]
fn bad_documents_are_told_in_one_line() {
    let folder = folder();
    let mut listing = String::new();
    for (name, text) in bad_documents() {
        let error = match run(&text, folder.path()) {
            Ok(_) => panic!("{name} was taken:\n{text}"),
            Err(error) => error.to_string(),
        };
        assert!(!error.contains('\n'), "{name}: {error}");
        assert!(!error.contains("expected u"), "{name}: {error}");
        let error = error.replace(&folder.path().display().to_string(), "FOLDER");
        listing.push_str(&format!("{name}\n    {error}\n"));
    }
    insta::assert_snapshot!(listing);
}

#[test]
fn a_mark_at_the_beginning_means_nothing() {
    let folder = folder();
    let text = document("", "");
    assert_eq!(good(&text).1.name, run(&format!("\u{feff}{text}"), folder.path()).unwrap().1.name);
}

#[test]
fn what_is_wrong_with_the_form_is_said_once() {
    let folder = folder();
    let error = run(&document("shards: -1", ""), folder.path()).unwrap_err();
    let said = format!("{:#}", anyhow::Error::from(error));
    assert_eq!(said.matches("shards").count(), 1, "{said}");
}

#[test]
fn a_file_that_is_no_text_is_refused() {
    let folder = folder();
    let path = folder.path().join("job.yaml");
    fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(matches!(open(&path), Err(ReadError::NotText { .. })));
    assert!(matches!(open(&folder.path().join("none.yaml")), Err(ReadError::Read { .. })));
}

/// The contracts of the examples, with their folders.
fn examples() -> Vec<(String, PathBuf)> {
    let examples = Path::new("../examples");
    let example = |name: &str| {
        let folder = examples.join(name);
        (fs::read_to_string(folder.join("job.yaml")).unwrap(), folder)
    };
    ["digits", "wordcount", "primes"].map(example).into()
}

proptest! {
    /// Whatever a hand slips into a contract: a contract that the chain would take, or one line that says why not.
    #[test]
    fn damaged_contracts_are_good_or_told_in_one_line(
        which in 0usize..3,
        text in valo_mutation::damaged_text(examples().into_iter().map(|(text, _)| text).collect()),
    ) {
        let (_, folder) = examples().remove(which);
        let made = parse(&text).map_err(anyhow::Error::from).and_then(|document| {
            let plan = plan(&document, &folder, &BTreeMap::new())?;
            Ok(plan.contract(NOW)?)
        });
        match made {
            Ok(contract) => prop_assert_eq!(contract.check(), Ok(())),
            Err(error) => {
                let line = error_line(&error);
                prop_assert!(!line.is_empty() && !line.contains(['\n', '\r']), "{:?}", line);
            }
        }
    }
}

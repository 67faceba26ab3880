//! The words of conditions and events: docs/operator.md has the tables that people look them up in, and these are held
//! against the code here. What the code says in a kind's folder is in a row of that kind, and what a row has is said.

use std::{collections::BTreeSet, fs, path::Path};
use valo_crds::JobReason;

type Words = BTreeSet<String>;

/// Literals that look like words and are none: what an event says was done, types of conditions besides, and names.
const OTHERS: &[&str] = &[
    "Chain",
    "Delete",
    "Fund",
    "Generate",
    "Reconcile",
    "Read",
    "Report",
    "Roll",
    "Running",
    "Scale",
    "Submit",
    "True",
    "Wait",
];

/// Whether a text is a word: letters, a capital first, one small one at least.
fn is_word(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_uppercase())
        && text.len() > 2
        && text.chars().all(|one| one.is_ascii_alphabetic())
        && !OTHERS.contains(&text)
}

/// The words in what stands between two marks, such as quotes.
fn between(text: &str, mark: char) -> Words {
    text.lines()
        .flat_map(|line| line.split(mark).skip(1).step_by(2))
        .filter(|text| is_word(text))
        .map(str::to_owned)
        .collect()
}

fn source(path: &str) -> String {
    let path = Path::new(path);
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The words that the code says: comments and tests aside.
fn said(file: &str) -> Words {
    let text = source(file);
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines: Vec<&str> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    between(&lines.join("\n"), '"')
}

fn said_in(files: &[&str]) -> Words {
    files.iter().flat_map(|file| said(file)).collect()
}

/// A kind, and the files in which its words are.
fn kinds() -> Vec<(&'static str, Words)> {
    let mut jobs = said_in(&[
        "src/job_contract/apply.rs",
        "src/job_contract/delete.rs",
        "src/job_contract/mod.rs",
        "src/job_contract/status.rs",
    ]);
    jobs.extend(JobReason::ALL.map(|reason| reason.word().to_owned()));
    vec![
        (
            "Network",
            said_in(&[
                "src/network/apply.rs",
                "src/network/delete.rs",
                "src/network/genesis.rs",
                "src/network/mod.rs",
                "src/network/status.rs",
            ]),
        ),
        (
            "NodeTier",
            said_in(&[
                "src/node_tier/apply.rs",
                "src/node_tier/external.rs",
                "src/node_tier/mod.rs",
                "src/node_tier/status.rs",
                "src/node_tier/validate.rs",
            ]),
        ),
        (
            "Wallet",
            said_in(&["src/wallet/apply.rs", "src/wallet/delete.rs", "src/wallet/mod.rs", "src/wallet/status.rs"]),
        ),
        ("JobContract", jobs),
        ("ShardGroup", said_in(&["src/shard_group/build.rs"])),
        ("any", said_in(&["src/controller.rs"])),
    ]
}

/// A section of the page: from its heading to the next.
fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let (_, rest) = page.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no section {heading}"));
    rest.split_once("\n## ").map_or(rest, |(section, _)| section)
}

/// The words of the rows of a kind.
fn rows(sections: &str, kind: &str) -> Words {
    let of_it =
        |line: &&str| line.split('|').nth(1).is_some_and(|kinds| kinds.split(',').any(|one| one.trim() == kind));
    sections.lines().filter(of_it).flat_map(|line| between(line, '`')).collect()
}

#[test]
fn the_tables_say_what_the_code_says() {
    let page = source("../docs/operator.md");
    let sections = format!("{}\n{}", section(&page, "Conditions"), section(&page, "Events"));
    // Words of all kinds: why a pass fails, what the chain did with a transaction, and the condition that all have.
    let failures: Words =
        sections.lines().filter(|line| !line.starts_with('|')).flat_map(|line| between(line, '`')).collect();
    let shared = said_in(&["src/chain/signer.rs", "src/conditions.rs"]);
    let kinds = kinds();
    for (kind, code) in &kinds {
        let told = rows(&sections, kind);
        let everywhere = rows(&sections, "any");
        let untold: Vec<&String> = code
            .iter()
            .filter(|word| ![&told, &everywhere, &failures].iter().any(|told| told.contains(*word)))
            .collect();
        assert!(untold.is_empty(), "docs/operator.md does not tell of {untold:?}, which the code says of a {kind}");
        let unsaid: Vec<&String> =
            told.iter().filter(|word| !code.contains(*word) && !shared.contains(*word)).collect();
        assert!(unsaid.is_empty(), "docs/operator.md tells of {unsaid:?}, which the code never says of a {kind}");
    }
    let all: Words = kinds.into_iter().flat_map(|(_, words)| words).chain(shared).collect();
    let unsaid: Vec<&String> = failures.iter().filter(|word| !all.contains(*word)).collect();
    assert!(unsaid.is_empty(), "docs/operator.md tells of {unsaid:?}, which the code never says");
}

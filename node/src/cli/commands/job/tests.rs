//! What users see of jobs: prices, refusals, tables, explanations.

use super::{
    estimate::estimate,
    explain::describe,
    status,
    summary::{Summary, shares},
};
use serde_json::json;
use valo_client::types::{Job, JobExplanation, ParametersInForce, TierInfo};
use valo_protocol::{
    Amount, JobContract, Parameters, Timestamp,
    bytes::BoundedString,
    params::Preset,
    registry::{Admission, Isolation, Runtime, Tier, TierId},
};

const NOW: Timestamp = Timestamp(1_900_000_000_000);

fn tier(name: &str, id: u16, price: &str, memory: u64, owners: u32) -> TierInfo {
    let tier = Tier {
        name: BoundedString::new(name).unwrap(),
        runtime: Runtime::Wasm,
        milli_cpu: 1000,
        memory,
        accelerator: None,
        stake_per_slot: Amount::from_valo(100).unwrap(),
        price: price.parse().unwrap(),
        fuel_per_second: 100_000_000,
        isolation: Isolation::Sandboxed,
        admission: Admission::Open,
    };
    TierInfo { id: TierId(id), tier, nodes: owners, owners, slots: owners, busy: 0 }
}

fn tiers() -> Vec<TierInfo> {
    vec![tier("small", 0, "0.05", 256 << 20, 4), tier("large", 1, "0.08", 1 << 30, 4)]
}

fn parameters() -> ParametersInForce {
    let parameters = Parameters::preset(Preset::Dev);
    serde_json::from_value(json!({
        "height": 1,
        "bytePrice": Amount::from_units(parameters.byte_price),
        "weightPrice": Amount::from_units(parameters.weight_price),
        "parameters": parameters,
    }))
    .unwrap()
}

/// The contract of an example, changed.
fn contract(change: impl FnOnce(&mut serde_json::Value)) -> JobContract {
    let path = std::path::Path::new("../examples/digits/job.yaml");
    let opened = crate::cli::contract::open(path).unwrap();
    let plan = crate::cli::contract::plan(&opened.document, &opened.folder, &Default::default()).unwrap();
    let mut value = serde_json::to_value(plan.contract(NOW).unwrap()).unwrap();
    change(&mut value);
    serde_json::from_value(value).unwrap()
}

#[test]
fn the_price_is_shown_before_anything_is_signed() {
    let estimate = estimate(&contract(|_| ()), NOW, &parameters(), &tiers()).unwrap();
    // 8 shards x 3 replicas x (0.17 x 0.05 + 0.12 x 0.08) VALO.
    assert_eq!(estimate.at_limits.to_string(), "0.4344");
    assert_eq!(estimate.escrow.to_string(), "5");
    insta::assert_snapshot!(estimate.table());
}

#[test]
fn what_the_chain_would_refuse_is_refused_with_its_field() {
    type Change = fn(&mut serde_json::Value);
    let cases: [(&str, Change); 9] = [
        ("budget too small", |value| value["budget"] = "0.05".into()),
        ("unknown tier", |value| value["stages"][1]["tier"] = "huge".into()),
        ("too much memory for the tier", |value| value["stages"][0]["memory"] = (512u64 << 20).into()),
        ("too many replicas for the tier", |value| {
            value["verification"] = json!({"replicated": {"replicas": 5, "quorum": 3}});
        }),
        ("too dear for the stake", |value| value["stages"][0]["program"]["wasm"]["fuel"] = 900_000_000_000u64.into()),
        ("no time", |value| value["deadline"] = (NOW.0 + 1).into()),
        ("less time than the work takes", |value| {
            value["deadline"] = (NOW.0 + 60_000).into();
            value["stages"][0]["program"]["wasm"]["fuel"] = 7_000_000_000u64.into();
        }),
        ("more shards than a block takes", |value| {
            value["stages"][0]["shards"] = 50_000.into();
            value["stages"][1]["shards"] = 50_000.into();
        }),
        ("too late a deadline", |value| value["deadline"] = (NOW.0 + 8 * 86_400_000).into()),
    ];
    let lines: Vec<String> = cases
        .into_iter()
        .map(|(name, change)| {
            let error = estimate(&contract(change), NOW, &parameters(), &tiers()).unwrap_err();
            format!("{name}\n    {error}")
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn the_most_shards_are_those_that_a_block_takes() {
    let with = |shards: u64| contract(|value| value["stages"].as_array_mut().unwrap()[0]["shards"] = shards.into());
    let parameters = parameters().parameters;
    let first = |contract: &JobContract| u64::from(contract.total_shards() - contract.stages[1].shards);
    let large = with(90_000);
    let most = large.too_many_shards(&parameters).unwrap() - (u64::from(large.total_shards()) - first(&large));
    assert_eq!(with(most).too_many_shards(&parameters), None);
    assert!(with(most + 1).too_many_shards(&parameters).is_some());
}

fn job(phase: serde_json::Value) -> Job {
    let mut value = json!({
        "id": 7, "name": "digits", "submitter": "00000000", "phaseSince": NOW.0 + 4200, "contract": "11".repeat(32),
        "submitted": 120, "submittedAt": NOW.0, "deadline": NOW.0 + 600_000, "budget": "5", "tip": "0", "escrow": "0",
        "reserved": "0", "paid": "0.125", "replicas": 3, "quorum": 2, "results": "22".repeat(32),
        "place": {"table": "jobs", "index": 0},
        "stages": [
            {"name": "features", "tier": "small", "program": "wasm", "isResult": false,
             "shards": 8, "placed": 8, "accepted": 8, "failed": 0},
            {"name": "classify", "tier": "large", "program": "wasm", "reads": 0, "isResult": true,
             "shards": 8, "placed": 4, "accepted": 3, "failed": 0},
        ],
    });
    value.as_object_mut().unwrap().extend(phase.as_object().unwrap().clone());
    serde_json::from_value(value).unwrap()
}

fn explanation() -> JobExplanation {
    let moment = |after: u64| json!({"height": 120 + after / 100, "time": NOW.0 + after});
    let answer = |node: u32, standing: &str, why: &str, paid: &str, slashed: &str| json!({"node": node, "owner": "0000000A", "attempt": 0, "standing": standing, "why": why, "paid": paid, "slashed": slashed});
    serde_json::from_value(json!({
        "job": 7, "phase": "accepted", "summary": "`digits`: 16 shards, 2 stages; accepted after 4.2 s.", "disjoint": "owner",
        "worth": "replicas of a shard have different owners", "submitted": moment(0),
        "phases": [[moment(0), {"phase": "funded"}], [moment(4200), {"phase": "accepted"}]],
        "paid": "0.125", "slashed": "0.4", "refunded": "0",
        "shards": [{
            "stage": 0, "stageName": "features", "shard": 3, "summary": "accepted by 2 of 3", "waits": [
                {"at": moment(100), "needed": 3, "available": 2}],
            "escalations": [{"at": moment(3000), "replicas": 5, "quorum": 3}],
            "draws": [{"at": moment(200), "attempt": 0, "seedHeight": 121, "seed": "33".repeat(32), "commitUntil": NOW.0 + 9000,
                "drawn": [{"node": 4, "owner": "0000000A", "rank": 0, "why": "rank 0 of 4"}],
                "passedOver": [{"node": 9, "reason": "noFreeSlot", "why": "it has no free slot"}]}],
            "answers": [
                answer(4, "agreed", "its answer is the accepted one", "0.0085", "0"),
                answer(5, "agreed", "its answer is the accepted one", "0.0085", "0"),
                answer(6, "differed", "its answer differed from the accepted one", "0", "0.4"),
            ],
        }],
    }))
    .unwrap()
}

#[test]
fn tables_of_a_job() {
    let running = status::table(&job(json!({"phase": "running"})), Timestamp(NOW.0 + 5000));
    let failed = job(json!({"phase": "failed", "reason": "deadlinePassed", "failure": "the deadline passed"}));
    let failed = status::table(&failed, Timestamp(NOW.0 + 5000));
    let explanation = explanation();
    let summary = Summary {
        job: job(json!({"phase": "accepted"})),
        refunded: Amount::ZERO,
        slashed: explanation.slashed,
        nodes: shares(&explanation.shards),
        complete: true,
    };
    insta::assert_snapshot!(format!("{running}\n\n----\n{failed}\n\n----\n{}", summary.table()));
}

#[test]
fn explanations_name_draws_answers_and_money() {
    let job = explanation();
    insta::assert_snapshot!(format!("{}\n---- in full\n{}", describe(&job, false), describe(&job, true)));
}

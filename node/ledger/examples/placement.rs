//! How many assignments one core makes in a second: draws alone, and whole blocks that place shards on a state in memory.
//!
//! `cargo run -p valo-ledger --features testing --example placement [nodes] [shards]`

#![expect(clippy::disallowed_types, reason = "a benchmark reads the clock")]

use std::time::{Duration, Instant};
use valo_ledger::{
    jobs::draw::{self, Candidate, Pool, Request},
    testing::{Setup, TestChain, account, valo, wasm_tier},
};
use valo_protocol::{
    Action, Amount, Hash, JobContract, Varint,
    bytes::{BoundedString, BoundedVec},
    hash::BlobHash,
    job::{Attempt, Input, JobId, Merge, OnFailure, Program, ShardIndex, ShardKey, Stage, StageIndex, Verification},
    params::Disjoint,
    registry::{NodeId, TierId},
    time::Round,
};

#[expect(clippy::expect_used, reason = "a program for people")]
fn main() {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<u32>().expect("a number"));
    let nodes = numbers.next().unwrap_or(1_000);
    let shards = numbers.next().unwrap_or(4_000);
    draws(nodes);
    blocks(nodes, shards);
}

/// Draws of three among so many nodes, each of which takes its slots.
fn draws(nodes: u32) {
    const DRAWS: u32 = 100_000;
    let candidates = (0..nodes).map(|node| Candidate {
        node: NodeId(node),
        owner: account(u64::from(node)),
        active: true,
        free_slots: 3 * DRAWS / nodes + 100,
        stake: valo(1_000_000),
        free_stake: valo(1_000_000),
    });
    let mut pool = Pool::new(Disjoint::Owner, candidates);
    let started = Instant::now();
    for shard in 0..DRAWS {
        let key = ShardKey { job: JobId(1), stage: StageIndex(0), shard: ShardIndex(shard) };
        let seed = draw::seed(&Hash::default(), key, Attempt(0));
        let lock = Amount::from_units(1);
        let selection = pool.draw(&Request { seed: &seed, count: 3, lock, before: &[] });
        assert_eq!(selection.drawn.len(), 3);
        for drawn in selection.drawn {
            pool.take(drawn.node, drawn.owner, lock);
        }
    }
    rate("draws alone", 3 * DRAWS, started.elapsed());
    assert!(pool.free_slots() > 0, "enough slots");
}

/// Blocks that place the shards of a job: everything but consensus, signatures and the disk.
#[expect(clippy::expect_used, reason = "a program for people")]
fn blocks(nodes: u32, shards: u32) {
    let slots = u16::try_from(3 * shards / nodes + 2).expect("few slots");
    let setup = Setup {
        accounts: nodes + 1,
        validators: vec![10],
        tiers: vec![wasm_tier("small")],
        workers: (0..nodes).map(|_| (TierId(0), slots)).collect(),
        ..Setup::default()
    };
    let mut chain = TestChain::new(&setup);
    let contract = contract(&chain, shards);
    let submission = chain.actions(account(0), [Action::SubmitJob { client_id: None, contract }]);
    chain.block(submission);
    let (mut spent, mut longest, mut count) = (Duration::ZERO, Duration::ZERO, 0u32);
    loop {
        let block = chain.draft(Round(0), chain.ledger.params().min_interval, vec![]);
        let started = Instant::now();
        let effects = chain.ledger.execute(&block).expect("executes");
        let elapsed = started.elapsed();
        chain.ledger.store_mut().apply(&effects.changes);
        chain.ledger.commit(effects).expect("in order");
        let (record, _) = chain.view().job(JobId(1)).expect("a readable state").expect("the job");
        let placed = record.stages.first().map_or(0, |stage| stage.placed);
        if placed > count {
            spent += elapsed;
            longest = longest.max(elapsed);
        }
        count = placed;
        if placed == shards {
            break;
        }
    }
    rate("blocks that place", 3 * shards, spent);
    println!("{:>20}  {longest:.1?}", "longest block");
}

fn contract(chain: &TestChain, shards: u32) -> JobContract {
    let stage = Stage {
        name: BoundedString::new("one").unwrap_or_default(),
        tier: BoundedString::new("small").unwrap_or_default(),
        program: Program::Wasm { module: BlobHash::default(), args: BoundedVec::default(), fuel: Varint(1_000_000) },
        memory: 1 << 20,
        output: 1 << 20,
        input: Input::None,
        shards,
        on_failure: OnFailure::Fail,
    };
    JobContract {
        name: BoundedString::default(),
        stages: BoundedVec::new(vec![stage]).unwrap_or_default(),
        verification: Verification::Replicated { replicas: 3, quorum: 2 },
        budget: valo(100),
        tip: Amount::ZERO,
        deadline: chain.ledger.head().time.after(valo_protocol::Duration::from_seconds(3600)),
        retention: valo_protocol::Duration(0),
        merge: Merge::Folders,
    }
}

fn rate(name: &str, assignments: u32, spent: Duration) {
    let second = f64::from(assignments) / spent.as_secs_f64();
    println!("{name:>20}  {assignments} assignments in {spent:.2?}: {second:.0} a second");
}

//! Workers that answer as real ones do: each block they read what is expected of them, run their shard (its output is a
//! line that names it), store the output, commit and reveal.

use super::{TestNode, WORKERS};
use valo_ledger::{
    Effects,
    jobs::AssignmentState,
    testing::{node_key, valo},
};
use valo_protocol::{
    Action, BlobHash, JobContract,
    bytes::{BoundedString, BoundedVec},
    encoding::{Varint, encode},
    event::JobPhase,
    files::{FileEntry, FileTree, OutputRecord, RunStatus},
    job::{Input, JobId, Merge, OnFailure, Program, ShardKey, Stage, Verification},
    proof::JobRecord,
    registry::NodeId,
    time::Duration,
    transaction::{Answer, CommitEntry, RevealEntry, commitment},
};

/// Fuel that every shard uses.
pub const FUEL: u64 = 500_000_000;

pub fn stage(name: &str, input: Input, shards: u32) -> Stage {
    Stage {
        name: BoundedString::new(name).unwrap(),
        tier: BoundedString::new("small").unwrap(),
        program: Program::Wasm { module: BlobHash::of(b"module"), args: BoundedVec::default(), fuel: Varint(2 * FUEL) },
        memory: 1 << 20,
        output: 1 << 20,
        input,
        shards,
        on_failure: OnFailure::Fail,
    }
}

impl TestNode {
    pub fn contract(&self, stages: Vec<Stage>) -> JobContract {
        let now = self.shared.chain().ledger.head().time;
        JobContract {
            name: BoundedString::new("test").unwrap(),
            stages: BoundedVec::new(stages).unwrap(),
            verification: Verification::Replicated { replicas: 3, quorum: 2 },
            budget: valo(10),
            tip: valo(0),
            deadline: now.after(Duration::from_seconds(3600)),
            retention: Duration::from_seconds(3600),
            merge: Merge::Concatenate,
        }
    }

    /// What a worker finds; a liar finds something else.
    fn answer(&self, shard: ShardKey, lies: bool) -> Answer {
        let line = format!("{}shard {shard}\n", if lies { "not " } else { "" });
        let file = FileEntry {
            path: "line.txt".parse().unwrap(),
            size: line.len() as u64,
            hash: BlobHash::of(line.as_bytes()),
        };
        let record = OutputRecord {
            version: OutputRecord::VERSION,
            status: RunStatus::Exited(0),
            fuel: FUEL,
            files: FileTree::new(vec![file]).unwrap(),
        };
        let mut blobs = self.shared.blobs.lock().unwrap();
        blobs.insert(BlobHash::of(line.as_bytes()), line.into_bytes().into());
        blobs.insert(record.digest().into(), encode(&record).into());
        Answer { digest: record.digest(), status: record.status, fuel: Varint(FUEL) }
    }

    /// The next block with whatever the workers say.
    pub fn work(&self, liar: Option<NodeId>) -> Effects {
        let mut said = Vec::new();
        for n in 1..=WORKERS {
            let node = NodeId(n);
            let (genesis, assignments) = {
                let chain = self.shared.chain();
                (chain.ledger.genesis_hash(), chain.view().assignments(node).unwrap())
            };
            let salt = [7; 32];
            let (mut commits, mut reveals) = (Vec::new(), Vec::new());
            for assignment in assignments {
                let (shard, attempt) = (assignment.shard, assignment.attempt);
                let answer = self.answer(shard, liar == Some(node));
                match assignment.state {
                    AssignmentState::Assigned { .. } => {
                        let commitment = commitment(&genesis, shard, attempt, node, &answer.digest, &salt);
                        commits.push(CommitEntry { shard, attempt, commitment });
                    }
                    AssignmentState::RevealOpen { .. } => reveals.push(RevealEntry { shard, attempt, answer, salt }),
                    _ => {}
                }
            }
            let mut actions = Vec::new();
            if !commits.is_empty() {
                actions.push(Action::Commit { entries: BoundedVec::new(commits).unwrap() });
            }
            if !reveals.is_empty() {
                actions.push(Action::Reveal { entries: BoundedVec::new(reveals).unwrap() });
            }
            let chain = self.shared.chain();
            assert_eq!(chain.node(n).key, node_key(n).public());
            said.extend(chain.actions(chain.node_account(n), actions));
        }
        self.shared.advance(Duration(50), said)
    }

    pub fn record(&self, job: JobId) -> JobRecord {
        self.shared.chain().view().job(job).unwrap().unwrap().0
    }

    /// Works until the job is where it should be.
    pub fn work_until(&self, job: JobId, liar: Option<NodeId>, reached: impl Fn(JobPhase) -> bool) {
        for _ in 0..400 {
            if reached(self.record(job).phase) {
                return;
            }
            self.work(liar);
        }
        panic!("the job is still {:?}", self.record(job));
    }

    /// Submits a contract of account 0 and makes the block that takes it.
    pub async fn submit(&self, contract: JobContract) -> JobId {
        let session = self.session(0).await;
        let id = session.submit(Action::SubmitJob { client_id: None, contract }).await.unwrap();
        self.block();
        let receipt = self.client.await_final(id, std::time::Duration::from_secs(60)).await.unwrap();
        match receipt.outcome {
            valo_protocol::receipt::Outcome::Done(valo_protocol::receipt::Made::Job(job)) => job,
            other => panic!("not submitted: {other:?}"),
        }
    }
}

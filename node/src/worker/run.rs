//! Runs one assignment: fetch, sandbox, store the outputs, give the answer.

use super::{
    ChainAccess,
    fetch::{FetchError, Fetcher, label},
    logs::{Logs, RunLog},
};
use crate::blobs::{BlobError, Blobs};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use valo_ledger::jobs::{Assignment, AssignmentState};
use valo_protocol::{
    BlobHash, Digest, Hash, JobContract, Varint,
    encoding::encode,
    files::{FileTree, OutputRecord, RunFailure, RunStatus},
    job::{Program, ShardKey, Stage},
    proof::JobRecord,
    transaction::{AbstainReason, Answer},
};
use valo_sandbox::{Limits, LocalFailure, ModuleSource, RunOutput, RunRequest, Sandbox, Source, SubmitError, World};

/// The most bytes of a module.
const MAX_MODULE: u64 = 64 << 20;
/// Bytes kept of each standard stream.
const LOG: usize = 64 << 10;

/// What became of a run.
#[derive(Debug, Clone, Copy)]
pub enum Outcome {
    /// To be committed to.
    Answer(Answer),
    /// To be said so.
    Abstain(AbstainReason),
    /// The chain no longer asks for it.
    Cancelled,
}

/// Runs assignments. Clones share everything.
#[derive(Debug)]
pub struct Executor<C> {
    /// The chain.
    pub chain: Arc<C>,
    /// Blobs of this node.
    pub blobs: Blobs,
    /// Runs programs.
    pub sandbox: Sandbox,
    /// Logs of this node.
    pub logs: Logs,
    /// Fuel that this machine burns in a second at least, as its tier promises.
    pub fuel_per_second: u64,
}

impl<C> Clone for Executor<C> {
    fn clone(&self) -> Self {
        Self {
            chain: self.chain.clone(),
            blobs: self.blobs.clone(),
            sandbox: self.sandbox.clone(),
            logs: self.logs.clone(),
            fuel_per_second: self.fuel_per_second,
        }
    }
}

/// The most of what is left to commit that is counted for looking for blobs.
const LONGEST_SEARCH: Duration = Duration::from_secs(120);

/// Why a run gives no answer.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("cannot store the outputs: {0}")]
    Store(BlobError),
    #[error(transparent)]
    Local(#[from] LocalFailure),
    #[error(transparent)]
    Busy(#[from] SubmitError),
    #[error("the window for commits is nearly over")]
    Late,
    #[error("{0}")]
    Other(String),
}

impl Trouble {
    fn reason(&self) -> AbstainReason {
        match self {
            Self::Fetch(FetchError::Blob(BlobError::QuotaExceeded { .. }))
            | Self::Store(_)
            | Self::Busy(_)
            | Self::Other(_) => AbstainReason::Internal,
            Self::Fetch(_) => AbstainReason::CannotFetch,
            Self::Late | Self::Local(LocalFailure::WallLimit { .. }) => AbstainReason::WallLimit,
            Self::Local(LocalFailure::Memory { .. }) => AbstainReason::Memory,
            Self::Local(_) => AbstainReason::Internal,
        }
    }
}

/// When to stop, so that there is time to say so: who has no answer in time and says so pays nothing, who says nothing pays.
#[derive(Debug, Clone, Copy)]
struct Moments {
    /// For looking for blobs that nobody has: half of the time, the rest is for running.
    search: Instant,
    /// For everything: an eighth of the time before the window ends, a second at least.
    all: Instant,
}

impl Moments {
    /// Of the time that was left to commit in the last block, not of what this machine's clock says: while the chain
    /// stands, so does the window.
    fn of(assignment: &Assignment) -> Self {
        let now = Instant::now();
        let AssignmentState::Assigned { left, .. } = assignment.state else { return Self { search: now, all: now } };
        let left = Duration::from(left);
        let spare = (left / 8).max(Duration::from_secs(1)).min(left / 2);
        Self { search: now + left.min(LONGEST_SEARCH) / 2, all: now + left.saturating_sub(spare) }
    }
}

impl<C: ChainAccess> Executor<C> {
    /// Runs an assignment until it has an answer, cannot have one, or is cancelled.
    pub async fn run(self, assignment: Assignment, cancel: CancellationToken) -> Outcome {
        let shard = assignment.shard;
        tokio::select! {
            () = cancel.cancelled() => {
                info!(%shard, "no longer asked for");
                Outcome::Cancelled
            }
            result = self.in_time(&assignment) => match result {
                Ok(answer) => Outcome::Answer(answer),
                Err(trouble) => {
                    warn!(%shard, %trouble, "abstaining");
                    Outcome::Abstain(trouble.reason())
                }
            },
        }
    }

    async fn in_time(&self, assignment: &Assignment) -> Result<Answer, Trouble> {
        let moments = Moments::of(assignment);
        match timeout_at(moments.all, self.answer(assignment, moments.search)).await {
            Ok(result) => result,
            Err(_) => Err(Trouble::Late),
        }
    }

    async fn answer(&self, assignment: &Assignment, give_up: Instant) -> Result<Answer, Trouble> {
        let shard = assignment.shard;
        let (record, contract) = self
            .chain
            .job(shard.job)
            .map_err(FetchError::from)?
            .ok_or_else(|| Trouble::Other(format!("job {} is not in the state", shard.job)))?;
        let stage = contract
            .stage(shard.stage)
            .ok_or_else(|| Trouble::Other(format!("job {} has no stage {}", shard.job, shard.stage)))?;
        let fetcher = Fetcher { chain: &*self.chain, blobs: &self.blobs, shard, contract: &contract, give_up };
        match self.request(&fetcher, &record, &contract, stage).await {
            Ok(request) => {
                let output = self.sandbox.submit(request)?.await?;
                self.keep_log(assignment, &output);
                self.store(shard, &output).await
            }
            // Everybody who fetches this finds it unusable: that is an answer.
            Err(Trouble::Fetch(FetchError::Invalid(reason))) => {
                info!(%shard, reason, "the inputs are not valid");
                let status = RunStatus::Failed(RunFailure::InvalidInput);
                let record =
                    OutputRecord { version: OutputRecord::VERSION, status, fuel: 0, files: FileTree::default() };
                self.keep(shard, &record).await
            }
            Err(trouble) => Err(trouble),
        }
    }

    async fn request(
        &self,
        fetcher: &Fetcher<'_, C>,
        record: &JobRecord,
        contract: &JobContract,
        stage: &Stage,
    ) -> Result<RunRequest, Trouble> {
        let shard = fetcher.shard;
        let Program::Wasm { module, args, fuel } = &stage.program else {
            return Err(Trouble::Other(format!("stage `{}` runs containers, which this node does not", stage.name)));
        };
        fetcher.blob(*module, &[], MAX_MODULE).await.map_err(FetchError::from)?;
        let source = Source::Path(self.blobs.path(module).map_err(FetchError::from)?);
        let inputs = fetcher.inputs(stage).await?;
        let arguments = std::iter::once(stage.name.to_string()).chain(args.iter().map(ToString::to_string)).collect();
        Ok(RunRequest {
            module: ModuleSource { hash: *module, source },
            arguments,
            shard: shard.shard.0,
            shards: stage.shards,
            stage: stage.name.to_string(),
            inputs,
            world: world(record, contract, shard),
            limits: Limits {
                fuel: fuel.0,
                memory: stage.memory,
                output: stage.output,
                wall: wall(fuel.0, self.fuel_per_second),
                log: LOG,
            },
        })
    }

    async fn store(&self, shard: ShardKey, output: &RunOutput) -> Result<Answer, Trouble> {
        for file in &output.files {
            let hash = self.put(file.contents.clone()).await?;
            self.blobs.pin(&hash, &label(shard.job)).await.map_err(Trouble::Store)?;
        }
        self.keep(shard, &output.record).await
    }

    /// Stores a record and gives the answer that names it.
    async fn keep(&self, shard: ShardKey, record: &OutputRecord) -> Result<Answer, Trouble> {
        let hash = self.put(encode(record)).await?;
        self.blobs.pin(&hash, &label(shard.job)).await.map_err(Trouble::Store)?;
        debug!(%shard, digest = %hash.short(), status = %record.status, fuel = record.fuel, "answer found");
        Ok(Answer { digest: Digest(hash.0), status: record.status, fuel: Varint(record.fuel) })
    }

    async fn put(&self, contents: Vec<u8>) -> Result<BlobHash, Trouble> {
        self.blobs.put_bytes(contents, Some("worker")).await.map_err(Trouble::Store)
    }

    fn keep_log(&self, assignment: &Assignment, output: &RunOutput) {
        let mut stderr = output.stderr.text();
        if let Some(detail) = &output.detail {
            stderr.push_str(&format!("{detail}\n"));
        }
        let log = RunLog {
            attempt: assignment.attempt,
            stdout: output.stdout.text(),
            stderr,
            truncated: output.stdout.left_out > 0 || output.stderr.left_out > 0,
        };
        // A log that cannot be written changes no answer.
        if let Err(error) = self.logs.store(assignment.shard, &log) {
            warn!(%error, "cannot keep a log");
        }
    }
}

/// What a program sees of the world: the same on every replica, and different for every shard.
fn world(record: &JobRecord, contract: &JobContract, shard: ShardKey) -> World {
    let seed = Hash::of(b"valo/world/1", &[contract.hash().as_bytes(), &encode(&shard)]);
    World { seed: seed.0, start: record.submitted_at.0.saturating_mul(1_000_000) }
}

/// Twice the time that the fuel takes at the tier's speed, and five seconds: the chain's own window.
fn wall(fuel: u64, fuel_per_second: u64) -> Duration {
    let milliseconds = u128::from(fuel).saturating_mul(2_000) / u128::from(fuel_per_second.max(1));
    Duration::from_millis(u64::try_from(milliseconds).unwrap_or(u64::MAX)).saturating_add(Duration::from_secs(5))
}

#[cfg(test)]
mod tests {
    use super::*;
    use valo_protocol::{
        Timestamp,
        job::{Attempt, JobId},
        registry::NodeId,
    };

    #[tokio::test(start_paused = true)]
    async fn there_is_time_left_to_abstain() {
        let seconds = |left: u64| {
            let left = valo_protocol::Duration(left);
            let state = AssignmentState::Assigned { commit_until: Timestamp(0), left };
            let shard = ShardKey { job: JobId(1), ..ShardKey::default() };
            let moments = Moments::of(&Assignment { shard, attempt: Attempt(0), node: NodeId(1), state });
            let from_now = |moment: Instant| (moment - Instant::now()).as_secs_f64();
            (from_now(moments.search), from_now(moments.all))
        };
        assert_eq!(seconds(16_000), (8.0, 14.0));
        assert_eq!(seconds(6_000), (3.0, 5.0), "a second at least");
        assert_eq!(seconds(1_000), (0.5, 0.5), "and half at most");
        assert_eq!(seconds(0), (0.0, 0.0));
        assert_eq!(seconds(3_600_000), (60.0, 3_150.0), "what nobody has is looked for a minute at most");
    }
}

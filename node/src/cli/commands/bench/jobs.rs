//! How many jobs and shards are accepted in a second. The program does nothing, so that what is measured is the chain,
//! the draws, the answers and the sandbox's start, not the work.

use crate::cli::{context::FINALITY, devnet::DevNetwork};
use anyhow::{Context, bail};
use serde::Serialize;
use std::time::{Duration, Instant};
use valo_client::{
    AccountSession,
    types::{JobFilter, PageRequest},
};
use valo_protocol::{
    Action, Amount, BlobHash, JobContract, Varint,
    bytes::{BoundedString, BoundedVec},
    event::JobPhase,
    job::{Input, JobId, Merge, OnFailure, Program, Stage, Verification},
    receipt::Made,
};

/// Shards of a job.
const SHARDS: u32 = 8;
/// The most jobs.
const MOST: u64 = 64;
/// How often the jobs are looked at.
const LOOK: Duration = Duration::from_millis(200);

/// A WASI command that ends at once: a memory `memory` of one page, and an empty function `_start`.
const MODULE: &[u8] = b"\0asm\x01\0\0\0\
    \x01\x04\x01\x60\0\0\
    \x03\x02\x01\0\
    \x05\x03\x01\0\x01\
    \x07\x13\x02\x06_start\0\0\x06memory\x02\0\
    \x0a\x04\x01\x02\0\x0b";

/// Jobs and their shards.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Jobs {
    /// Milliseconds from submission to verdict of a job with nothing beside it.
    pub alone: u64,
    /// Jobs submitted together.
    pub submitted: u64,
    /// Of those, accepted in time.
    pub accepted: u64,
    /// Of those, failed.
    pub failed: u64,
    /// Why the first of them failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Shards of each.
    pub shards_each: u32,
    /// From the first submission to the last verdict.
    pub milliseconds: u64,
    /// Jobs in a second, in hundredths.
    pub hundredths_per_second: u64,
    /// Shards in a second.
    pub shards_per_second: u64,
}

/// Submits one job, then many.
pub async fn measure(network: &DevNetwork, user: &valo_protocol::SecretKey, span: Duration) -> anyhow::Result<Jobs> {
    let client = network.client()?;
    let session = AccountSession::open_on(client.clone(), user.clone(), network.description.genesis).await?;
    let module = client.upload_bytes(MODULE).await?.hash;
    let tier = client.tiers().await?.items.into_iter().next().context("there is no tier")?.tier.name.to_string();

    // Once without a clock: modules are compiled the first time.
    let warm = submit(&session, module, &tier).await?;
    accepted(&session, &[warm], FINALITY).await?;
    let start = Instant::now();
    let one = submit(&session, module, &tier).await?;
    let end = accepted(&session, &[one], FINALITY).await?;
    if end.accepted == 0 {
        let why = end.failure.unwrap_or_else(|| format!("it was not over after {} s", FINALITY.as_secs()));
        bail!("a job of {SHARDS} shards with nothing beside it was not accepted: {why}");
    }
    let alone = millis(start.elapsed());

    let start = Instant::now();
    let mut jobs = Vec::new();
    for _ in 0..MOST {
        if start.elapsed() > span / 2 {
            break;
        }
        jobs.push(submit(&session, module, &tier).await?);
    }
    let end = accepted(&session, &jobs, span.saturating_add(FINALITY)).await?;
    let count = end.accepted;
    let milliseconds = millis(start.elapsed()).max(1);
    let shards = count.saturating_mul(u64::from(SHARDS));
    Ok(Jobs {
        alone,
        submitted: u64::try_from(jobs.len())?,
        accepted: count,
        failed: end.failed,
        failure: end.failure,
        shards_each: SHARDS,
        milliseconds,
        hundredths_per_second: count.saturating_mul(100_000) / milliseconds,
        shards_per_second: shards.saturating_mul(1000) / milliseconds,
    })
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

async fn submit(session: &AccountSession, module: BlobHash, tier: &str) -> anyhow::Result<JobId> {
    let now = session.client().status().await?.time;
    let contract = JobContract {
        name: BoundedString::new("bench")?,
        stages: BoundedVec::new(vec![Stage {
            name: BoundedString::new("nothing")?,
            tier: BoundedString::new(tier)?,
            program: Program::Wasm { module, args: BoundedVec::default(), fuel: Varint(1_000_000) },
            memory: 1 << 20,
            output: 1 << 10,
            input: Input::None,
            shards: SHARDS,
            on_failure: OnFailure::Fail,
        }])?,
        verification: Verification::Replicated { replicas: 3, quorum: 2 },
        budget: Amount::from_valo(1).context("an amount does not fit")?,
        tip: Amount::ZERO,
        deadline: now.after(valo_protocol::Duration::from_seconds(600)),
        retention: valo_protocol::Duration::from_seconds(60),
        merge: Merge::Folders,
    };
    let mut id = [0u8; 16];
    getrandom::fill(&mut id).map_err(|error| anyhow::anyhow!("the system gave no random bytes: {error}"))?;
    match session.perform(Action::SubmitJob { client_id: Some(id), contract }, FINALITY).await?.1 {
        Made::Job(job) => Ok(job),
        other => bail!("the chain answered a job with {other:?}"),
    }
}

/// How jobs ended.
#[derive(Debug, Default)]
struct Ended {
    accepted: u64,
    failed: u64,
    failure: Option<String>,
}

/// Waits until all are over, or for so long.
async fn accepted(session: &AccountSession, jobs: &[JobId], within: Duration) -> anyhow::Result<Ended> {
    let start = Instant::now();
    loop {
        let shown = session.client().jobs(&JobFilter::default(), &PageRequest::limited(1000)).await?.items;
        let mut ended = Ended::default();
        for job in shown.iter().filter(|job| jobs.contains(&job.id)) {
            match &job.phase {
                JobPhase::Failed(reason) => {
                    ended.failed = ended.failed.saturating_add(1);
                    ended.failure.get_or_insert_with(|| format!("job {}: {reason}", job.id));
                }
                phase if phase.is_accepted() => ended.accepted = ended.accepted.saturating_add(1),
                _ => {}
            }
        }
        let over = ended.accepted.saturating_add(ended.failed);
        if over == u64::try_from(jobs.len())? || start.elapsed() > within {
            return Ok(ended);
        }
        tokio::time::sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::MODULE;

    #[test]
    fn the_module_is_the_command_that_it_should_be() {
        let text = r#"(module (memory (export "memory") 1) (func (export "_start")))"#;
        let same = r#"(module (func (export "_start")) (memory (export "memory") 1))"#;
        let built = [text, same].map(|text| wat::parse_str(text).unwrap());
        assert!(built.iter().any(|module| module == MODULE), "{built:?}");
    }
}

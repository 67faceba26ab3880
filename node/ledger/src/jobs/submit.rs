//! Jobs begin: submission and cancellation.

use super::{
    contract,
    state::{self, Deadline, Location, OpenJob, Order, job_key},
};
use crate::{Context, Failure, LedgerError, store::Table, tables::row_index};
use valo_protocol::{
    AccountNumber, Amount, Duration, Height, JobContract,
    encoding::encode,
    event::{Event, JobFailure, JobPhase},
    job::{Input, JobId, Stage, StageIndex},
    proof::{JobRecord, StageProgress},
    receipt::{Made, Reason},
};

/// The most jobs that are open at a time.
const MAX_OPEN: u64 = 1_000_000;

/// Takes a job: its budget goes into escrow, and the stages that read nothing of others are drawn from the block
/// after the next on.
pub(crate) fn submit(
    ctx: &mut Context<'_>,
    submitter: AccountNumber,
    client_id: Option<[u8; 16]>,
    contract: &JobContract,
) -> Result<Made, Failure> {
    let client_key = client_id.map(|id| client_key(submitter, &id));
    if let Some(key) = &client_key
        && let Some(job) = ctx.store().get(Table::ClientIds, key)?
    {
        return Ok(Made::ExistingJob(JobId(row_index(Table::ClientIds, &job)?)));
    }
    contract::check(ctx, contract)?;
    if ctx.length(Table::Jobs)? >= MAX_OPEN {
        return Err(Reason::Full(format!("{MAX_OPEN} jobs are open")).into());
    }
    ctx.fund_escrow(submitter, contract.budget)?;

    let job = state::next_job(&ctx.state)?;
    state::set_next_job(&mut ctx.state, JobId(job.0.checked_add(1).ok_or(LedgerError::Overflow("job numbers"))?));
    let drawable = drawable_from(ctx.height());
    let stage = |stage: &Stage| StageProgress {
        shards: stage.shards,
        drawable: stage.input.upstream().is_none().then_some(drawable),
        ..StageProgress::default()
    };
    let record = JobRecord {
        job,
        submitter,
        client_id,
        contract: contract.hash(),
        submitted: ctx.height(),
        submitted_at: ctx.time(),
        phase: JobPhase::Funded,
        phase_since: ctx.time(),
        escrow: contract.budget,
        reserved: contract.tip,
        paid: Amount::ZERO,
        tip: contract.tip,
        stages: contract.stages.iter().map(stage).collect(),
        results: None,
    };
    ctx.emit(Event::JobSubmitted {
        job,
        submitter,
        contract: record.contract,
        budget: contract.budget,
        shards: contract.total_shards(),
    });
    let slot = ctx.state.fill_slot(&OpenJob(record))?;
    ctx.state.put_value(Table::JobIndex, job_key(job), &Location::Open(slot));
    ctx.state.put(Table::Contracts, job_key(job), encode(contract));
    ctx.state.put(Table::JobsBySubmitter, [submitter.index().to_be_bytes(), job_key(job)].concat(), Vec::new());
    if let Some(key) = client_key {
        ctx.state.put(Table::ClientIds, key, job_key(job).to_vec());
    }
    let overdue = contract.deadline.after(Duration(1));
    Deadline::Job(job).set(&mut ctx.state, overdue);
    for (index, stage) in (0u8..).map(StageIndex).zip(&contract.stages) {
        if matches!(stage.input, Input::None | Input::Files { .. }) {
            let (tier, _) = ctx.tier_by_name(&stage.tier)?.ok_or_else(|| Reason::NoTier(stage.tier.clone()))?;
            ctx.state.put(Table::Draws, Order::Stage(job, index).draw_key(drawable, tier), Vec::new());
            ctx.emit(Event::StageStarted { job, stage: index });
        }
    }
    Ok(Made::Job(job))
}

/// Where the job of a submission is found.
pub(crate) fn client_key(submitter: AccountNumber, client_id: &[u8; 16]) -> Vec<u8> {
    [&submitter.index().to_be_bytes()[..], client_id].concat()
}

/// What is decided in a block is drawn with the randomness of the block after the next: it is fixed after the decision.
pub(crate) const fn drawable_from(decided: Height) -> Height {
    Height(decided.0.saturating_add(2))
}

/// Ends a job of the sender: nothing more is drawn, what was committed to is revealed and paid.
pub(crate) fn cancel(ctx: &mut Context<'_>, account: AccountNumber, job: JobId) -> Result<Made, Failure> {
    let (record, _) = state::job(&ctx.state, job)?.ok_or(Reason::NoJob(job))?;
    if record.submitter != account {
        return Err(Reason::NotYourJob(job).into());
    }
    if record.phase.is_over() {
        return Err(Reason::JobOver(job).into());
    }
    let (slot, mut record) = state::open_job(&ctx.state, job)?.ok_or(Reason::JobOver(job))?;
    fail(ctx, &mut record, JobFailure::Cancelled)?;
    ctx.state.set_row(slot, &OpenJob(record));
    Ok(Made::Nothing)
}

/// A job ends without a result. Its shards are closed from the end of this block on.
pub(crate) fn fail(ctx: &mut Context<'_>, record: &mut JobRecord, reason: JobFailure) -> Result<(), LedgerError> {
    let job = record.job;
    if let Some(contract) = state::contract(&ctx.state, job)? {
        let overdue = contract.deadline.after(Duration(1));
        Deadline::Job(job).clear(&mut ctx.state, overdue);
    }
    record.phase = JobPhase::Failed(reason);
    record.phase_since = ctx.time();
    ctx.emit(Event::JobPhaseChanged { job, phase: record.phase });
    Deadline::Close(job).set(&mut ctx.state, ctx.time);
    Ok(())
}

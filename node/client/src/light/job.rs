//! The light check of a job's result.

use super::{JobReport, LightError, Step, Trust, verify_proof};
use crate::{client::Client, types::PhaseName};
use futures::StreamExt;
use valo_protocol::{
    BlobHash,
    encoding::decode,
    files::{FileEntry, OutputRecord},
    job::{JobContract, JobId, StageIndex},
    proof::{JobRecord, ShardResult, StateProof, StateTable, results_root},
    registry::NodeId,
    transaction::Answer,
};

/// The most bytes of an output record: that of the largest file tree.
const MAX_RECORD: u64 = 64 * 1024 * 1024;

/// Whose outputs are downloaded and checked byte by byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputScope {
    /// None: the check ends at the digests.
    None,
    /// Those of the stages that make the result.
    Result,
    /// Those of all stages.
    All,
}

/// Checks a job's result from what is trusted down to the bytes of its outputs. `on_step` is told each step as it
/// is done.
pub async fn verify_job(
    client: &Client,
    trust: &Trust,
    job: JobId,
    scope: OutputScope,
    on_step: impl FnMut(&Step) + Send,
) -> Result<JobReport, LightError> {
    let mut check = Check { client, steps: Vec::new(), on_step, files: 0, bytes: 0 };
    let found = client.status().await?.genesis;
    if found != trust.genesis() {
        return Err(LightError::OtherChain { trusted: trust.genesis(), found });
    }
    let proof = client.job_proof(job).await?;
    let record = check.record(trust, job, &proof)?;
    let contract = check.contract(&record).await?;
    let results = check.verdicts(&record).await?;
    check.outputs(&contract, &results, scope).await?;

    let header = &proof.finalized.header;
    let mut caveats: Vec<String> = trust.caveat(header.time).into_iter().collect();
    if PhaseName::from(&record.phase) == PhaseName::Accepted {
        caveats.push("the result is provisional: it can still be disputed".to_owned());
    }
    if scope != OutputScope::All && contract.stages.len() > 1 {
        caveats.push("outputs of stages that are not part of the result were not downloaded".to_owned());
    }
    Ok(JobReport {
        job,
        phase: record.phase,
        trusted: vec![
            trust.describe(),
            "that of the workers drawn for a shard, fewer than a quorum agreed on one wrong answer".to_owned(),
        ],
        checked: check.steps,
        caveats,
        height: header.height,
        block: header.id(),
        time: header.time,
        results_root: record.results.unwrap_or_default(),
        results: results.into_iter().map(|(result, _)| result).collect(),
        files: check.files,
        bytes: check.bytes,
    })
}

struct Check<'a, F> {
    client: &'a Client,
    steps: Vec<Step>,
    on_step: F,
    files: u64,
    bytes: u64,
}

impl<F: FnMut(&Step) + Send> Check<'_, F> {
    fn done(&mut self, name: &str, detail: String) {
        let step = Step { name: name.to_owned(), detail };
        (self.on_step)(&step);
        self.steps.push(step);
    }

    /// The job's record, from the trusted validators down to its row.
    fn record(&mut self, trust: &Trust, job: JobId, proof: &StateProof) -> Result<JobRecord, LightError> {
        verify_proof(trust, proof)?;
        let (header, certificate) = (&proof.finalized.header, &proof.finalized.certificate);
        let signed = certificate
            .signatures
            .iter()
            .filter_map(|signature| proof.validators.get(&signature.validator))
            .fold(0u64, |sum, validator| sum.saturating_add(validator.power));
        self.done(
            "validators",
            format!(
                "{} validators, set {}, is the trusted one",
                proof.validators.validators().len(),
                proof.validators.hash().short()
            ),
        );
        self.done(
            "certificate",
            format!(
                "{} valid signatures with {signed} of {} voting power, for block {} at height {}",
                certificate.signatures.len(),
                proof.validators.total_power(),
                certificate.block.short(),
                certificate.height
            ),
        );
        self.done("header", format!("hashes to that block and carries state root {}", header.state.short()));

        let other_row =
            |reason: String| LightError::OtherRow { table: proof.row.table, index: proof.row.index, reason };
        if !matches!(proof.row.table, StateTable::Jobs | StateTable::Results) {
            return Err(other_row("it is no table of jobs".to_owned()));
        }
        let record: JobRecord = decode("job record", &proof.row.row)?;
        if record.job != job {
            return Err(other_row(format!("it holds job {}", record.job)));
        }
        let length = proof.row.tables.iter().find(|root| root.table == proof.row.table).map_or(0, |root| root.length);
        self.done(
            "state",
            format!(
                "row {} of the {length} of table {}, the record of job {job}, leads to that root",
                proof.row.index,
                crate::types::table_name(proof.row.table),
            ),
        );
        Ok(record)
    }

    async fn contract(&mut self, record: &JobRecord) -> Result<JobContract, LightError> {
        let contract = self.client.job_contract(record.job).await?;
        let found = contract.hash();
        if found != record.contract {
            return Err(LightError::Contract { recorded: record.contract, found });
        }
        self.done("contract", format!("`{}` has the recorded hash {}", contract.name, found.short()));
        Ok(contract)
    }

    async fn verdicts(&mut self, record: &JobRecord) -> Result<Vec<(ShardResult, Vec<NodeId>)>, LightError> {
        let no_result = || LightError::NoResult {
            job: record.job,
            phase: match record.phase {
                valo_protocol::event::JobPhase::Failed(failure) => format!("failed ({failure})"),
                other => PhaseName::from(&other).to_string(),
            },
        };
        let recorded = record.results.filter(|_| record.phase.is_accepted()).ok_or_else(no_result)?;
        let shown = self.client.job_results(record.job).await?;
        let results: Vec<ShardResult> = shown
            .shards
            .iter()
            .map(|outcome| ShardResult { stage: outcome.stage, shard: outcome.shard, answer: outcome.answer })
            .collect();
        let expected = record.stages.iter().fold(0u64, |sum, stage| sum.saturating_add(u64::from(stage.shards)));
        let count = u64::try_from(results.len()).unwrap_or(u64::MAX);
        if count != expected {
            return Err(LightError::ResultCount { expected, found: count });
        }
        let found = results_root(&results);
        if found != recorded {
            return Err(LightError::Results { recorded, found });
        }
        self.done("verdicts", format!("{count} verdicts hash to the recorded root {}", found.short()));
        Ok(results.into_iter().zip(shown.shards.into_iter().map(|outcome| outcome.nodes)).collect())
    }

    async fn outputs(
        &mut self,
        contract: &JobContract,
        results: &[(ShardResult, Vec<NodeId>)],
        scope: OutputScope,
    ) -> Result<(), LightError> {
        let stages: Vec<StageIndex> = match scope {
            OutputScope::None => return Ok(()),
            OutputScope::Result => contract.result_stages(),
            OutputScope::All => results.iter().map(|(result, _)| result.stage).collect(),
        };
        let mut checked = 0u64;
        for (result, holders) in results.iter().filter(|(result, _)| stages.contains(&result.stage)) {
            if let Some(answer) = &result.answer {
                self.output(answer, holders).await.map_err(|source| LightError::Output {
                    stage: result.stage,
                    shard: result.shard,
                    digest: answer.digest,
                    source: Box::new(source),
                })?;
                checked = checked.saturating_add(1);
            }
        }
        self.done(
            "outputs",
            format!(
                "{checked} output records and the {} bytes of {} files hash to their digests",
                self.bytes, self.files
            ),
        );
        Ok(())
    }

    async fn output(&mut self, answer: &Answer, holders: &[NodeId]) -> Result<(), LightError> {
        // The download holds the bytes against the digest: it is the name of the record as a blob.
        let bytes = self.client.download_bytes(BlobHash::from(answer.digest), holders, MAX_RECORD).await?;
        let record: OutputRecord = decode("output record", &bytes)?;
        if record.status != answer.status {
            return Err(LightError::Record {
                what: "status",
                recorded: record.status.to_string(),
                accepted: answer.status.to_string(),
            });
        }
        if record.fuel != answer.fuel.0 {
            return Err(LightError::Record {
                what: "fuel",
                recorded: record.fuel.to_string(),
                accepted: answer.fuel.0.to_string(),
            });
        }
        for file in record.files.files() {
            self.file(file, holders).await?;
        }
        Ok(())
    }

    async fn file(&mut self, file: &FileEntry, holders: &[NodeId]) -> Result<(), LightError> {
        let mut stream = self.client.download_from(file.hash, holders).await?;
        let mut length = 0u64;
        while let Some(chunk) = stream.next().await {
            length = length.saturating_add(chunk?.len().try_into().unwrap_or(u64::MAX));
        }
        if length != file.size {
            return Err(LightError::FileSize { path: file.path.to_string(), expected: file.size, found: length });
        }
        self.files = self.files.saturating_add(1);
        self.bytes = self.bytes.saturating_add(length);
        Ok(())
    }
}

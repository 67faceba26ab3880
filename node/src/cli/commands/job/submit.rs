//! `valo job submit`: from a YAML file to a job on the chain.

use super::{
    estimate::{Prepared, prepare, read},
    watch,
};
use crate::cli::{
    commands::verify,
    context::{Context, FINALITY, no_account},
    contract::{Blob, Contents},
    human,
    output::{Format, print},
    progress::Bytes,
};
use anyhow::{Context as _, bail, ensure};
use clap::Args;
use futures::{StreamExt, TryStreamExt};
use serde::Serialize;
use std::path::PathBuf;
use valo_client::{Client, types::Account};
use valo_protocol::{Action, Amount, JobContract, TransactionId, job::JobId, receipt::Made};

/// Uploads at a time.
const PARALLEL_UPLOADS: usize = 4;

const EXAMPLES: &str = "\
A job contract:
  apiVersion: valo.network/v1alpha1
  kind: JobContract
  metadata: {name: wordcount}
  spec:
    budget: \"5\"                 # VALO, held in escrow; what is not earned comes back
    deadline: 10m               # or a moment: 2030-01-31T12:00:00Z
    verification: {replicas: 3, quorum: 2}
    stages:
    - name: count
      tier: small               # `valo tier list`
      wasm: {module: count.wasm, args: [], fuel: 1G, memory: 64Mi, output: 8Mi}
      input: {files: [\"texts/*.txt\"], split: {files: 3}}
    - name: gather
      tier: large
      wasm: {module: gather.wasm}
      input: {stage: count, all: true}     # each: true gives shard i what shard i wrote
      onFailure: fail                      # or continue; and retries: 2
    result: {merge: concatenate, retention: 24h}

Paths are relative to the file. In place of a module may stand \"blake3:...\", in place of a file
\"NAME@blake3:...\".
A split names what is never cut (bytes, records, lines or files) and over how many shards it is
dealt; without `shards` each unit is one:
  input: {file: data.bin, split: {records: 65, shards: 8}}
  input: {file: log.txt, split: {lines: 10000}}
  input: {shards: [[a.bin], [b.bin, c.bin]]}
A stage without input says `shards: N`.
Defaults: fuel 1G, memory 64Mi, output 8Mi, merge folders, retention 24h.

Examples:
  valo job submit examples/wordcount/job.yaml --watch
  valo job submit -f job.yaml --yes -o json
  valo job submit job.yaml --client-id 00112233445566778899aabbccddeeff   repeated: one job, and no fee";

/// `valo job submit`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The job's YAML file; `-` reads standard input
    #[arg(required_unless_present = "file_flag", conflicts_with = "file_flag")]
    file: Option<PathBuf>,
    /// The same, as kubectl writes it
    #[arg(short = 'f', long = "filename", id = "file_flag", value_name = "FILE")]
    file_flag: Option<PathBuf>,
    /// Stay until the verdict, and show who computed what
    #[arg(short, long)]
    watch: bool,
    /// Then check the result, trusting nothing but this genesis document, as `valo verify` does
    #[arg(long, value_name = "GENESIS", requires = "watch")]
    verify: Option<PathBuf>,
    /// Names this submission: repeated with the same one it gives the same job (32 hexadecimal characters)
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
}

/// What was submitted.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Submitted {
    job: JobId,
    /// Whether the same client id had made it before.
    existing: bool,
    client_id: String,
    /// None where the job was there, and nothing was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction: Option<TransactionId>,
    fee: Amount,
    escrow: Amount,
}

impl Arguments {
    /// Runs the command.
    pub async fn run(self, context: &Context) -> anyhow::Result<()> {
        let file = self.file.as_ref().or(self.file_flag.as_ref()).context("name the job's YAML file")?.clone();
        let given = self.client_id.as_deref().map(client_id).transpose()?;
        let client = context.client().await?;
        if let Some(path) = &self.verify {
            verify::genesis_file(path)?;
        }
        let (opened, plan) = read(&client, file).await?;
        let account = account(context, &client).await?;
        if let Some(id) = given
            && let Some(job) = client.job_by_client_id(account.number, id).await?
        {
            same_contract(&client, job, id, plan.draft()).await?;
            let name = plan.draft().name.to_string();
            return self.submitted_before(context, &client, job, id, &name, plan.draft().budget).await;
        }
        let client_id = given.map_or_else(random_id, Ok)?;
        let prepared = prepare(context, &client, opened, plan).await?;
        can_pay(&account, &prepared)?;
        if context.output.format == Format::Table && !context.output.quiet {
            context.output.note(prepared.estimate.table());
        }
        context.confirm("Submit this job?")?;
        // The passphrase is asked for before anything is sent.
        let session = context.session(&client).await?;
        upload(context, &client, &prepared).await?;

        let now = client.status().await?.time;
        let contract = prepared.plan.contract(now).map_err(|error| prepared.opened.at(error))?;
        let wanted = contract.clone();
        let id_text = hex::encode(client_id);
        context.output.note(format_args!("client id {id_text}: repeat with --client-id if this breaks off"));
        let action = Action::SubmitJob { client_id: Some(client_id), contract };
        let (receipt, made) = session.perform(action, FINALITY).await?;
        let (job, existing) = match made {
            Made::Job(job) => (job, false),
            // Somebody submitted it meanwhile.
            Made::ExistingJob(job) => {
                same_contract(&client, job, client_id, &wanted).await?;
                (job, true)
            }
            other => bail!("the chain answered a job with {other:?}"),
        };
        let (height, fee) = (receipt.height, receipt.fee);
        let line = match existing {
            true => {
                format!("job {job} ({}) was submitted before; finding that out cost a fee of {fee} VALO", wanted.name)
            }
            false => format!("job {job} ({}) submitted in block {height}, for a fee of {fee} VALO", wanted.name),
        };
        let submitted = Submitted {
            job,
            existing,
            client_id: id_text,
            transaction: Some(receipt.transaction),
            fee,
            escrow: prepared.estimate.escrow,
        };
        self.finish(context, &client, &submitted, &line).await
    }

    /// The same submission again: the job is there, and nothing is sent or paid.
    async fn submitted_before(
        self,
        context: &Context,
        client: &Client,
        job: JobId,
        id: [u8; 16],
        name: &str,
        escrow: Amount,
    ) -> anyhow::Result<()> {
        let line = format!("job {job} ({name}) was submitted before; no transaction was made");
        let client_id = hex::encode(id);
        let submitted = Submitted { job, existing: true, client_id, transaction: None, fee: Amount::ZERO, escrow };
        self.finish(context, client, &submitted, &line).await
    }

    /// Answers, and follows the job as far as was asked for.
    async fn finish(self, context: &Context, client: &Client, submitted: &Submitted, line: &str) -> anyhow::Result<()> {
        answer(context, submitted, line, self.watch)?;
        if self.watch {
            watch::follow(context, client, submitted.job).await?;
        }
        match self.verify {
            Some(genesis) => verify::Arguments::from_genesis(submitted.job, genesis).run(context).await,
            None => Ok(()),
        }
    }
}

/// Refuses an id that was used for something else.
async fn same_contract(client: &Client, job: JobId, id: [u8; 16], wanted: &JobContract) -> anyhow::Result<()> {
    let before = client.job_contract(job).await?;
    // A deadline that is a span is another moment each time.
    let same = JobContract { deadline: before.deadline, ..wanted.clone() } == before;
    ensure!(same, "client id {} names job {job}, which has another contract: take another one", hex::encode(id));
    Ok(())
}

fn answer(context: &Context, submitted: &Submitted, line: &str, watched: bool) -> anyhow::Result<()> {
    // With --watch, the answer of the command is the end of the job.
    match (watched, context.output.format) {
        (true, Format::Table) => print(line),
        (true, _) => {
            context.output.note(line);
            Ok(())
        }
        (false, _) => {
            context.output.show(submitted, || format!("{line}\nfollow it with: valo job watch {}", submitted.job))
        }
    }
}

fn client_id(text: &str) -> anyhow::Result<[u8; 16]> {
    let mut id = [0u8; 16];
    hex::decode_to_slice(text, &mut id)
        .map_err(|_| anyhow::anyhow!("`{text}` is not a client id: it takes 32 hexadecimal characters"))?;
    Ok(id)
}

fn random_id() -> anyhow::Result<[u8; 16]> {
    let mut id = [0u8; 16];
    getrandom::fill(&mut id).map_err(|error| anyhow::anyhow!("the system gave no random bytes: {error}"))?;
    Ok(id)
}

/// The account of the key in use.
async fn account(context: &Context, client: &Client) -> anyhow::Result<Account> {
    let key = context.public_key()?;
    match client.account(key).await {
        Err(error) if error.is_not_found() => Err(no_account(&key)),
        account => Ok(account?),
    }
}

/// Says early that the account cannot pay.
fn can_pay(account: &Account, prepared: &Prepared) -> anyhow::Result<()> {
    let estimate = &prepared.estimate;
    let needed = estimate.escrow.checked_add(estimate.max_fee).context("the budget is more than can exist")?;
    ensure!(
        account.balance >= needed,
        "account {} has {} VALO; the budget and the fee take {needed} VALO",
        account.number,
        account.balance
    );
    Ok(())
}

/// Uploads what the node does not have.
async fn upload(context: &Context, client: &Client, prepared: &Prepared) -> anyhow::Result<()> {
    let blobs = &prepared.plan.blobs;
    // What a field needs was looked for before; of the others the document says that they are there.
    for (hash, _) in blobs.references().filter(|(_, field)| field.is_none()) {
        if client.blob_info(*hash).await?.is_none() {
            context
                .output
                .warn(format_args!("the node itself does not hold blob {hash}; the job fails if no other node does"));
        }
    }
    let total = blobs.uploads().map(|blob| blob.size).sum();
    let bar = Bytes::new(context.output, total, "uploading");
    let results = futures::stream::iter(blobs.uploads().map(|blob| upload_one(client, blob, &bar)));
    let sent: Vec<bool> = results.buffer_unordered(PARALLEL_UPLOADS).try_collect().await?;
    bar.finish();
    let sent = u64::try_from(sent.into_iter().filter(|sent| *sent).count())?;
    if sent > 0 {
        context.output.note(format_args!("uploaded {} ({} in all)", human::plural(sent, "blob"), human::size(total)));
    }
    Ok(())
}

/// Uploads a blob unless it is there; whether it was not.
async fn upload_one(client: &Client, blob: &Blob, bar: &Bytes) -> anyhow::Result<bool> {
    if client.blob_info(blob.hash).await?.is_some() {
        bar.add(blob.size);
        return Ok(false);
    }
    let info = match &blob.contents {
        Contents::Bytes(bytes) => client.upload_bytes(bytes.clone()).await?,
        Contents::File { path, range } => client.upload_range(path, range.clone(), |_| {}).await?,
    };
    ensure!(
        info.hash == blob.hash,
        "{} changed while it was uploaded; submit again when nothing writes to it",
        blob.label
    );
    bar.add(blob.size);
    Ok(true)
}

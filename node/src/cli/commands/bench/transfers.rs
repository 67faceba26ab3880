//! How many transfers become final in a second: many accounts send as much as the mempool takes, spread over the
//! validators; what counts is what blocks say.

use crate::cli::devnet::DevNetwork;
use anyhow::{Context, bail};
use serde::Serialize;
use std::time::{Duration, Instant};
use valo_client::{
    Client,
    types::{PageRequest, SubmissionResult},
};
use valo_protocol::{
    AccountNumber, Action, Amount, GenesisHash, Height, SecretKey, SignedTransaction, Timestamp, Transaction, Varint,
};

/// Transactions of an account in one request: below what a mempool holds for an account.
const BATCH: u64 = 32;
/// Accounts whose transactions go together.
const GROUP: usize = 16;
/// The pause after a mempool took nothing.
const PAUSE: Duration = Duration::from_millis(50);

/// How long what was sent may take to become final.
const DRAIN: Duration = Duration::from_secs(30);

/// Transfers in blocks.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Transfers {
    /// How many became final.
    pub finalized: u64,
    /// In how long, by block time.
    pub milliseconds: u64,
    /// In a second.
    pub per_second: u64,
    /// How many the mempools took.
    pub taken: u64,
}

struct Sender {
    key: SecretKey,
    number: AccountNumber,
    nonce: u64,
}

/// Sends for a while, and counts.
pub async fn measure(network: &DevNetwork, keys: &[SecretKey], span: Duration) -> anyhow::Result<Transfers> {
    let client = network.client()?;
    let genesis = network.description.genesis;
    let validators = network.description.nodes.iter().filter(|node| node.role == "validator");
    let clients: Result<Vec<Client>, _> = validators.map(|node| Client::new(&node.endpoint())).collect();
    let clients = clients?;
    let senders = (1u64..)
        .zip(keys)
        .map(|(number, key)| Ok(Sender { key: key.clone(), number: AccountNumber::new(number)?, nonce: 0 }));
    let mut senders = senders.collect::<anyhow::Result<Vec<Sender>>>()?;
    for sender in &mut senders {
        sender.nonce = client.account(sender.number).await?.next_nonce;
    }
    // A block before the first, so that there is one to count from.
    let first = client.status().await?.height.max(Height(1));
    let end = Instant::now().checked_add(span).context("the span is too long")?;
    let mut tasks = tokio::task::JoinSet::new();
    let mut place = 0usize;
    while !senders.is_empty() {
        let rest = senders.split_off(senders.len().min(GROUP));
        let group = std::mem::replace(&mut senders, rest);
        let Some(client) = clients.get(place.checked_rem(clients.len()).unwrap_or(0)).cloned() else { break };
        place = place.saturating_add(1);
        tasks.spawn(send(client, group, genesis, end));
    }
    let (mut taken, mut refusal) = (0u64, None);
    while let Some(sent) = tasks.join_next().await {
        let sent = sent??;
        taken = taken.saturating_add(sent.taken);
        refusal = refusal.or(sent.refusal);
    }
    if taken == 0 {
        bail!("no transfer was taken: {}", refusal.unwrap_or_else(|| "the span was too short to send one".to_owned()));
    }
    drain(&client).await?;
    let last = client.status().await?.height;
    count(&client, first, last, taken).await
}

/// Waits until nothing waits in the mempool, or for so long.
async fn drain(client: &Client) -> anyhow::Result<()> {
    let start = Instant::now();
    while client.status().await?.node.pending_transactions > 0 && start.elapsed() < DRAIN {
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// What came of sending.
#[derive(Debug, Default)]
struct Sent {
    taken: u64,
    /// The first reason for which one was not taken.
    refusal: Option<String>,
}

/// Sends until the end.
async fn send(client: Client, mut group: Vec<Sender>, genesis: GenesisHash, end: Instant) -> anyhow::Result<Sent> {
    let mut sent = Sent::default();
    while Instant::now() < end {
        let signed = tokio::task::spawn_blocking(move || {
            let transactions = group.iter().flat_map(|sender| batch(sender, &genesis)).collect::<Vec<_>>();
            (group, transactions)
        });
        let transactions;
        (group, transactions) = signed.await?;
        let results = client.submit_many(&transactions).await?;
        let before = sent.taken;
        for (index, result) in results.iter().enumerate() {
            let sender = index.checked_div(usize::try_from(BATCH)?).and_then(|place| group.get_mut(place));
            match (result, sender) {
                (SubmissionResult::Taken(_), Some(sender)) => {
                    sender.nonce = sender.nonce.saturating_add(1);
                    sent.taken = sent.taken.saturating_add(1);
                }
                (SubmissionResult::Refused(reason), _) if sent.refusal.is_none() => {
                    sent.refusal = Some(reason.detail.clone());
                }
                _ => {}
            }
        }
        if sent.taken == before {
            // Full: what is waiting has to get into blocks first.
            tokio::time::sleep(PAUSE).await;
            for sender in &mut group {
                sender.nonce = client.account(sender.number).await?.next_nonce;
            }
        }
    }
    Ok(sent)
}

fn batch(sender: &Sender, genesis: &GenesisHash) -> Vec<SignedTransaction> {
    (sender.nonce..sender.nonce.saturating_add(BATCH))
        .map(|nonce| {
            let action = Action::Transfer { to: AccountNumber::default(), amount: Amount::from_units(1) };
            let max_fee = Amount::from_units(1_000_000);
            Transaction { sender: sender.number, nonce: Varint(nonce), max_fee, action }.sign(genesis, &sender.key)
        })
        .collect()
}

/// Transactions of the blocks after `first`, up to `last`, by the times from `first` to the last block with any.
async fn count(client: &Client, first: Height, last: Height, taken: u64) -> anyhow::Result<Transfers> {
    let (mut finalized, mut end) = (0u64, None);
    let mut page = PageRequest { from: Some(last.to_string()), limit: Some(1000) };
    loop {
        let blocks = client.blocks(&page).await?;
        for block in &blocks.items {
            if block.height <= first {
                let milliseconds = end.map_or(0, |end: Timestamp| end.since(block.time).0);
                let per_second = finalized.saturating_mul(1000).checked_div(milliseconds).unwrap_or(0);
                return Ok(Transfers { finalized, milliseconds, per_second, taken });
            }
            finalized = finalized.saturating_add(u64::from(block.transactions));
            if block.transactions > 0 {
                end = end.or(Some(block.time));
            }
        }
        page = page.following(&blocks).context("the node shows no block from before the transfers")?;
    }
}

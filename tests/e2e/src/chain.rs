//! What the blocks say was done: every message of every node, in order.

use crate::Network;
use std::collections::BTreeMap;
use valo_client::{Client, types::PageRequest};
use valo_protocol::{
    AccountNumber, Action, Height,
    job::{Attempt, ShardKey},
    receipt::Outcome,
    transaction::{CommitEntry, RevealEntry},
};

/// A transaction of a block.
#[derive(Debug, Clone)]
pub struct Said {
    /// By whom.
    pub sender: AccountNumber,
    /// What.
    pub action: Action,
    /// What came of it.
    pub outcome: Outcome,
}

/// Reads a chain from its first block on.
#[derive(Debug)]
pub struct Chain {
    client: Client,
    read: u64,
    /// All that was said so far.
    pub said: Vec<Said>,
}

impl Chain {
    /// A reader at the beginning of the chain.
    pub fn new(client: Client) -> Self {
        Self { client, read: 0, said: Vec::new() }
    }

    /// Reads the blocks that are new.
    pub fn read(&mut self, network: &Network) -> anyhow::Result<()> {
        let head = network.ask(self.client.status())?.height.0;
        while self.read < head {
            self.read += 1;
            let block = network.ask(self.client.block(Height(self.read)))?;
            self.said.extend(block.transactions.into_iter().map(|transaction| Said {
                sender: transaction.sender,
                action: transaction.action,
                outcome: transaction.receipt.outcome,
            }));
        }
        Ok(())
    }

    /// Commits that were taken, with who made them.
    pub fn commits(&self) -> impl Iterator<Item = (AccountNumber, CommitEntry)> + '_ {
        self.taken().flat_map(|said| match &said.action {
            Action::Commit { entries } => entries.iter().map(|entry| (said.sender, *entry)).collect(),
            _ => Vec::new(),
        })
    }

    /// Reveals that were taken, with who made them.
    pub fn reveals(&self) -> impl Iterator<Item = (AccountNumber, RevealEntry)> + '_ {
        self.taken().flat_map(|said| match &said.action {
            Action::Reveal { entries } => entries.iter().map(|entry| (said.sender, *entry)).collect(),
            _ => Vec::new(),
        })
    }

    fn taken(&self) -> impl Iterator<Item = &Said> {
        self.said.iter().filter(|said| matches!(said.outcome, Outcome::Done(_)))
    }

    /// The commits of a node, one or more for each assignment.
    pub fn commits_of(&self, node: AccountNumber) -> BTreeMap<(ShardKey, Attempt), Vec<CommitEntry>> {
        let mut commits: BTreeMap<_, Vec<CommitEntry>> = BTreeMap::new();
        for (_, entry) in self.commits().filter(|(sender, _)| *sender == node) {
            commits.entry((entry.shard, entry.attempt)).or_default().push(entry);
        }
        commits
    }
}

/// Heights and ids of all blocks up to a height, as a node tells them.
pub fn blocks(network: &Network, client: &Client, until: u64) -> anyhow::Result<BTreeMap<Height, String>> {
    let mut blocks = BTreeMap::new();
    let mut page = PageRequest { from: Some(until.to_string()), limit: Some(100) };
    loop {
        let part = network.ask(client.blocks(&page))?;
        let next = page.following(&part);
        blocks.extend(part.items.into_iter().map(|block| (block.height, block.id.to_string())));
        match next {
            Some(next) => page = next,
            None => return Ok(blocks),
        }
    }
}

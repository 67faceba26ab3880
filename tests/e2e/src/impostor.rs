//! A worker that breaks the rules, over the HTTP API that everybody has: it signs with the key of a worker whose own
//! process does not run.

use crate::{Chain, Network};
use anyhow::ensure;
use std::{collections::BTreeMap, time::Duration};
use valo_client::{
    Client, ClientError,
    types::{AssignmentState, JobExplanation, PageRequest},
};
use valo_protocol::{
    AccountNumber, Action, Amount, Digest, GenesisHash, SecretKey, Transaction, Varint,
    bytes::BoundedVec,
    files::RunStatus,
    job::{Attempt, JobId, ShardKey},
    receipt::{Outcome, Reason},
    registry::{NodeId, NodeState},
    transaction::{Answer, CommitEntry, RevealEntry, commitment},
};

/// How long a message may take to be final.
const FINALITY: Duration = Duration::from_secs(20);
/// What it says that it found, and what hides it.
const LIE: Answer = Answer { digest: Digest([0xbb; 32]), status: RunStatus::Exited(0), fuel: Varint(1) };
const SALT: [u8; 32] = [7; 32];

/// How it breaks the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conduct {
    /// Commits to a wrong answer, and reveals it.
    Lies,
    /// Commits, and reveals nothing.
    Mute,
    /// Commits to the very bytes of another's commitment, and reveals what the other revealed.
    Copies,
    /// Says nothing.
    Silent,
}

/// Acts with the key of a worker.
#[derive(Debug)]
pub struct Impostor<'a> {
    network: &'a Network,
    client: Client,
    key: SecretKey,
    genesis: GenesisHash,
    /// The node that it acts for.
    pub node: NodeId,
    /// Its account.
    pub account: AccountNumber,
    conduct: Conduct,
    chain: Chain,
    /// Commitments that were taken.
    pub commitments: BTreeMap<(ShardKey, Attempt), CommitEntry>,
    /// Why messages were not taken.
    pub refusals: Vec<Reason>,
}

impl<'a> Impostor<'a> {
    /// Acts for a worker whose process does not run. One that is absent says that it is back: it is drawn again.
    pub fn of(network: &'a Network, name: &str, conduct: Conduct) -> anyhow::Result<Self> {
        let client = network.client("validator-0")?;
        let node = network.node(name)?;
        let mut impostor = Self {
            network,
            key: network.secret_key(name)?,
            genesis: network.ask(client.status())?.genesis,
            node: node.id,
            account: node.account,
            conduct,
            chain: Chain::new(client.clone()),
            client,
            commitments: BTreeMap::new(),
            refusals: Vec::new(),
        };
        if node.state == NodeState::Absent {
            ensure!(impostor.say(Action::Return)?, "it may not return: {:?}", impostor.refusals);
        }
        Ok(impostor)
    }

    /// Does what its conduct asks for now. Called again and again.
    pub fn act(&mut self) -> anyhow::Result<()> {
        if self.conduct == Conduct::Silent {
            return Ok(());
        }
        self.chain.read(self.network)?;
        let assigned = self.network.ask(self.client.assignments_of(self.node))?.assignments;
        let (mut commits, mut reveals) = (Vec::new(), Vec::new());
        for assignment in &assigned {
            let key = (assignment.shard, assignment.attempt);
            match assignment.state {
                AssignmentState::Assigned if !self.commitments.contains_key(&key) => commits.extend(self.commit(key)),
                AssignmentState::RevealOpen => reveals.extend(self.reveal(key)),
                _ => {}
            }
        }
        if let Ok(entries) = BoundedVec::new(reveals)
            && !entries.is_empty()
        {
            self.say(Action::Reveal { entries })?;
        }
        if let Ok(entries) = BoundedVec::new(commits.clone())
            && !entries.is_empty()
            && self.say(Action::Commit { entries })?
        {
            self.commitments.extend(commits.into_iter().map(|entry| ((entry.shard, entry.attempt), entry)));
        }
        Ok(())
    }

    fn commit(&self, (shard, attempt): (ShardKey, Attempt)) -> Option<CommitEntry> {
        let commitment = match self.conduct {
            Conduct::Copies => {
                let mut others = self.chain.commits().filter(|(sender, _)| *sender != self.account);
                others.find(|(_, entry)| (entry.shard, entry.attempt) == (shard, attempt))?.1.commitment
            }
            _ => commitment(&self.genesis, shard, attempt, self.node, &LIE.digest, &SALT),
        };
        Some(CommitEntry { shard, attempt, commitment })
    }

    fn reveal(&self, (shard, attempt): (ShardKey, Attempt)) -> Option<RevealEntry> {
        match self.conduct {
            Conduct::Lies => Some(RevealEntry { shard, attempt, answer: LIE, salt: SALT }),
            Conduct::Copies => {
                let mut others = self.chain.reveals().filter(|(sender, _)| *sender != self.account);
                let (_, other) = others.find(|(_, entry)| (entry.shard, entry.attempt) == (shard, attempt))?;
                Some(other)
            }
            Conduct::Mute | Conduct::Silent => None,
        }
    }

    /// Says something, and waits for what comes of it: whether it was taken.
    fn say(&mut self, action: Action) -> anyhow::Result<bool> {
        let nonce = Varint(self.network.ask(self.client.account(self.account))?.nonce);
        let transaction = Transaction { sender: self.account, nonce, max_fee: Amount::ZERO, action };
        let signed = transaction.sign(&self.genesis, &self.key);
        let receipt = self.network.ask(async {
            let id = self.client.submit(&signed).await?;
            self.client.await_final(id, FINALITY).await
        });
        match receipt.map(|receipt| receipt.outcome) {
            Ok(Outcome::Done(_)) => Ok(true),
            Ok(Outcome::Failed(reason)) => {
                self.refusals.push(reason);
                Ok(false)
            }
            // A window closed meanwhile: the mempool takes no message for which nothing is open.
            Err(ClientError::Problem(_) | ClientError::Dropped { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Why a job went as it did.
    pub fn explanation(&self, job: u64) -> anyhow::Result<JobExplanation> {
        Ok(self.network.ask(self.client.job_explanation(JobId(job), &PageRequest::first()))?)
    }
}

//! A chain in memory for tests, benchmarks and simulations: keys from fixed seeds, blocks on demand.
//!
//! [`TestChain::block`] goes the whole way of a block (draft, check, execute, store, commit), and holds the state to
//! what must be true after every one: all money accounted for, keys in order, roots as the rows give them.

use crate::{Draft, Effects, Ledger, MemoryStore, View, accounts, fees};
use std::{collections::BTreeMap, sync::Arc};
use valo_protocol::{
    AccountNumber, Action, Amount, Block, Genesis, Height, Parameters, PublicKey, SecretKey, SignedTransaction,
    Timestamp, Transaction,
    amount::UNITS_PER_VALO,
    bytes::{BoundedString, BoundedVec},
    encoding::Varint,
    genesis::{GenesisAccount, GenesisNode},
    grant::{Grant, SignedGrant},
    hash::BlockId,
    keys::Signature,
    params::Preset,
    receipt::{Outcome, Reason, Receipt},
    registry::{NodeId, NodeRole, Runtime, Tier, TierId},
    time::{Duration, Round},
    vote::{Certificate, CommitSignature, Evidence, Vote, VoteKind},
    vrf,
};

/// What a test chain starts with.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Name of the chain: with another one all draws are others.
    pub chain: String,
    /// Parameters.
    pub parameters: Parameters,
    /// Accounts, with 1,000 VALO each. Account n has the key [`account_key`]`(n)`.
    pub accounts: u32,
    /// Stakes of the validators in whole VALO. Validator n has the key [`node_key`]`(n)`.
    pub validators: Vec<u64>,
    /// Tiers.
    pub tiers: Vec<Tier>,
    /// Workers: tier and slots. Their node keys follow those of the validators.
    pub workers: Vec<(TierId, u16)>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            chain: "test".to_owned(),
            parameters: Parameters::preset(Preset::Dev),
            accounts: 8,
            validators: vec![10, 10, 10, 10],
            tiers: Vec::new(),
            workers: Vec::new(),
        }
    }
}

/// Nodes beyond those of the genesis that may join a test chain.
pub const JOINERS: u32 = 16;

/// The key of the n-th account.
pub fn account_key(n: u32) -> SecretKey {
    key(0, n)
}

/// The key of the n-th node.
pub fn node_key(n: u32) -> SecretKey {
    key(1, n)
}

fn key(kind: u8, n: u32) -> SecretKey {
    let mut seed = [kind; 32];
    if let Some((start, _)) = seed.split_first_chunk_mut::<4>() {
        *start = n.to_le_bytes();
    }
    SecretKey::from_seed(seed)
}

/// A tier of wasm slots with 100 VALO of stake each.
pub fn wasm_tier(name: &str) -> Tier {
    Tier {
        name: BoundedString::new(name).unwrap_or_default(),
        runtime: Runtime::Wasm,
        milli_cpu: 1000,
        memory: 256 << 20,
        accelerator: None,
        stake_per_slot: Amount::from_units(100 * UNITS_PER_VALO),
        price: Amount::from_units(UNITS_PER_VALO / 100),
        fuel_per_second: 100_000_000,
        isolation: Default::default(),
        admission: Default::default(),
    }
}

/// The account with a number.
#[expect(clippy::expect_used, reason = "a mistake in a test")]
pub fn account(n: u64) -> AccountNumber {
    AccountNumber::new(n).expect("an account number")
}

/// Whole VALO.
pub fn valo(amount: u64) -> Amount {
    Amount::from_valo(amount).unwrap_or_default()
}

impl Setup {
    /// The genesis document. Node n belongs to account n, or to the last one when there are fewer.
    #[expect(clippy::expect_used, reason = "a mistake in a test")]
    pub fn genesis(&self) -> Genesis {
        let accounts =
            (0..self.accounts).map(|n| GenesisAccount { key: account_key(n).public(), balance: valo(1000) }).collect();
        let owner = |n: u32| account(u64::from(n.min(self.accounts.saturating_sub(1))));
        let validators = self.validators.iter().map(|stake| (NodeRole::Validator, valo(*stake)));
        let workers = self.workers.iter().map(|(tier, slots)| {
            let per_slot = self.tiers.get(usize::from(tier.0)).map(|tier| tier.stake_per_slot).unwrap_or_default();
            let stake = per_slot.checked_mul(u64::from(*slots)).unwrap_or_default();
            (NodeRole::Worker { tier: *tier, slots: *slots }, stake)
        });
        let nodes = (0u32..)
            .zip(validators.chain(workers))
            .map(|(n, (role, stake))| GenesisNode { key: node_key(n).public(), owner: owner(n), role, stake })
            .collect();
        Genesis {
            version: Genesis::VERSION,
            chain: BoundedString::new(&self.chain).expect("a short name"),
            time: Timestamp(1_700_000_000_000),
            fully_connected: false,
            parameters: self.parameters.clone(),
            accounts: BoundedVec::new(accounts).expect("few accounts"),
            tiers: BoundedVec::new(self.tiers.clone()).expect("few tiers"),
            nodes: BoundedVec::new(nodes).expect("few nodes"),
        }
    }
}

/// A chain in memory.
#[derive(Debug, Clone)]
pub struct TestChain {
    /// The ledger.
    pub ledger: Ledger<MemoryStore>,
    keys: Arc<BTreeMap<PublicKey, SecretKey>>,
    /// Who signs certificates: everybody, unless a test takes somebody out.
    pub silent: Vec<PublicKey>,
    /// What proposers know of faults.
    pub evidence: Vec<Evidence>,
}

#[expect(clippy::expect_used, clippy::missing_panics_doc, reason = "a failure here is a failed test")]
impl TestChain {
    /// A chain at height 0.
    pub fn new(setup: &Setup) -> Self {
        let genesis = Arc::new(setup.genesis());
        let mut store = MemoryStore::default();
        store.apply(&Ledger::<MemoryStore>::genesis_changes(&genesis).expect("a usable genesis"));
        // Accounts beyond these sign nothing here.
        let keys = (0..setup.accounts.min(64)).map(account_key);
        let nodes = u32::try_from(genesis.nodes.len()).expect("few nodes");
        let keys =
            keys.chain((0..nodes.saturating_add(JOINERS)).map(node_key)).map(|key| (key.public(), key)).collect();
        Self {
            ledger: Ledger::open(genesis, store).expect("a state that opens"),
            keys: Arc::new(keys),
            silent: vec![],
            evidence: vec![],
        }
    }

    /// The account of the n-th node.
    pub fn node_account(&self, n: u32) -> AccountNumber {
        let of_genesis = self.ledger.genesis().node_account(usize::try_from(n).expect("small"));
        let joined =
            || self.view().account_by_key(&node_key(n).public()).expect("a readable state").expect("an account");
        if u64::from(n) < u64::try_from(self.ledger.genesis().nodes.len()).unwrap_or(0) {
            return of_genesis.expect("a node");
        }
        joined()
    }

    /// A grant of an account for the n-th node, good for an hour.
    pub fn grant(&self, owner: u32, n: u32, role: NodeRole, stake: Amount) -> SignedGrant {
        let grant = Grant {
            owner: account(u64::from(owner)),
            node: node_key(n).public(),
            role,
            stake,
            endpoints: BoundedVec::default(),
            expires: self.ledger.head().time.after(Duration(3_600_000)),
        };
        grant.sign(&self.ledger.genesis_hash(), &account_key(owner))
    }

    /// Proof that a validator prevoted for two blocks at a height.
    pub fn double_sign(&self, n: u32, height: Height) -> Evidence {
        let signed = |block: u8| {
            let block = Some(BlockId([block; 32]));
            let vote =
                Vote { kind: VoteKind::Prevote, height, round: Round(0), block, validator: node_key(n).public() };
            let signature = node_key(n).sign(&vote.signed_bytes(&self.ledger.genesis_hash()));
            (vote, signature)
        };
        Evidence::Votes { first: signed(1), second: signed(2) }
    }

    /// A block with one action of an account; what became of it.
    pub fn one(&mut self, sender: AccountNumber, action: Action) -> Outcome {
        let transactions = self.actions(sender, [action]);
        let effects = self.block(transactions);
        effects.receipts.into_iter().next().expect("a receipt").outcome
    }

    /// Blocks until an epoch has begun.
    pub fn next_epoch(&mut self) -> Effects {
        let epoch = self.ledger.params().epoch;
        self.block_at(Round(0), epoch, Vec::new())
    }

    /// Typed reads of the state.
    pub fn view(&self) -> View<'_> {
        self.ledger.view()
    }

    /// What an account holds.
    pub fn balance(&self, number: AccountNumber) -> Amount {
        self.view().account(number).expect("a readable state").expect("an account").balance
    }

    /// A transaction with the account's next nonce, `ahead` beyond it, and the exact fee.
    pub fn transaction(&self, sender: AccountNumber, ahead: u64, action: Action) -> Transaction {
        let nonce = self.view().account(sender).expect("a readable state").map_or(0, |record| record.nonce.0);
        let mut transaction =
            Transaction { sender, nonce: Varint(nonce.saturating_add(ahead)), max_fee: Amount::ZERO, action };
        // The fee is part of the bytes it pays for: it settles after a few rounds.
        for _ in 0..4 {
            let signed = SignedTransaction { transaction: transaction.clone(), signature: Signature([0; 64]) };
            let bytes = u64::try_from(signed.to_bytes().len()).expect("small");
            transaction.max_fee = fees::fee(&transaction, bytes, self.ledger.params());
        }
        transaction
    }

    /// Signs with the key of the sender.
    pub fn sign(&self, transaction: Transaction) -> SignedTransaction {
        let key = self.ledger.sender_key(transaction.sender).expect("a readable state");
        let genesis = self.ledger.genesis_hash();
        match key.and_then(|key| self.keys.get(&key)) {
            Some(key) => transaction.sign(&genesis, key),
            None => SignedTransaction { transaction, signature: Signature([0; 64]) },
        }
    }

    /// Transactions of one sender, one for each action, with nonces in order.
    pub fn actions(&self, sender: AccountNumber, actions: impl IntoIterator<Item = Action>) -> Vec<SignedTransaction> {
        let numbered = (0u64..).zip(actions);
        numbered.map(|(ahead, action)| self.sign(self.transaction(sender, ahead, action))).collect()
    }

    /// The certificate of the head: precommits of its validators.
    pub fn certificate(&self) -> Option<Certificate> {
        let head = self.ledger.head();
        head.height.previous()?;
        let signers = head.signers.validators().iter().filter(|validator| !self.silent.contains(&validator.key));
        let signatures = signers.map(|validator| {
            let vote = Vote {
                kind: VoteKind::Precommit,
                height: head.height,
                round: Round(0),
                block: Some(head.block),
                validator: validator.key,
            };
            let key = self.keys.get(&validator.key).expect("a known validator");
            CommitSignature {
                validator: validator.key,
                signature: key.sign(&vote.signed_bytes(&self.ledger.genesis_hash())),
            }
        });
        let signatures = BoundedVec::new(signatures.collect()).expect("few validators");
        Some(Certificate { height: head.height, round: Round(0), block: head.block, signatures })
    }

    /// A block by the proposer of a round, `after` the head.
    pub fn draft(&self, round: Round, after: Duration, transactions: Vec<SignedTransaction>) -> Block {
        let head = self.ledger.head();
        let proposer = self.ledger.proposer(round).expect("a proposer").key;
        let key = self.keys.get(&proposer).expect("a known validator");
        let vrf_proof = vrf::prove(key, &vrf::input(&head.randomness, head.height.next())).expect("a proof");
        let draft = Draft {
            time: head.time.after(after),
            round,
            proposer,
            vrf_proof,
            last_commit: self.certificate(),
            evidence: self.evidence.clone(),
        };
        self.ledger.draft(draft, &mut transactions.into_iter()).expect("a draft")
    }

    /// Executes a block and commits it.
    pub fn execute(&mut self, block: &Block) -> Effects {
        self.ledger.check(block).expect("an acceptable block");
        let effects = self.ledger.execute(block).expect("a block that executes");
        self.ledger.store_mut().apply(&effects.changes);
        self.ledger.commit(effects.clone()).expect("effects in order");
        effects
    }

    /// The next block, with whichever of the transactions are valid.
    pub fn block_at(&mut self, round: Round, after: Duration, transactions: Vec<SignedTransaction>) -> Effects {
        let block = self.draft(round, after, transactions);
        let effects = self.execute(&block);
        self.audit();
        effects
    }

    /// The next block, which must take all of the transactions.
    pub fn block(&mut self, transactions: Vec<SignedTransaction>) -> Effects {
        let count = transactions.len();
        let effects = self.block_at(Round(0), self.ledger.params().min_interval, transactions);
        assert_eq!(effects.receipts.len(), count, "transactions left out of the block");
        effects
    }

    /// Holds the state to what is true after every block.
    pub fn audit(&self) {
        let counted = accounts::recount(self.ledger.store()).expect("a readable state");
        assert_eq!(counted, self.view().supply().expect("a readable state"), "kept totals and recount");
        assert_eq!(counted.sum(), Some(counted.total), "money made or lost");
        crate::jobs::audit(self.ledger.store()).expect("jobs that hold together");
        crate::registry::audit(self.ledger.store()).expect("a registry that holds together");
        let minimum = self.ledger.params().minimum_balance;
        for (number, account) in self.view().accounts(account(0), usize::MAX).expect("a readable state") {
            // Made for a node, which may have left.
            let unfunded = account.balance.is_zero();
            assert!(unfunded || account.balance >= minimum, "account {number} is below the minimum balance");
        }
    }

    /// Node n's record.
    pub fn node(&self, n: u32) -> valo_protocol::state::NodeRecord {
        self.view().node(NodeId(n)).expect("a readable state").expect("a node")
    }
}

/// The reason of a receipt.
pub fn reason(receipt: &Receipt) -> Option<&Reason> {
    match &receipt.outcome {
        Outcome::Failed(reason) => Some(reason),
        Outcome::Done(_) => None,
    }
}

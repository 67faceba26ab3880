//! The ledger: a store, its Merkle trees and the head, and everything a node asks of them.

use crate::{
    BlockError, LedgerError, accounts, admission,
    admission::Admission,
    check, execute,
    execute::{Base, Effects},
    genesis,
    head::{Due, GENESIS_KEY, Head},
    overlay::Overlay,
    registry,
    store::{Changes, Store, Table},
    tables,
    trees::Trees,
    view::View,
};
use std::{collections::BTreeSet, sync::Arc};
use valo_protocol::{
    AccountNumber, Block, Genesis, Hash, Header, Parameters, PublicKey, SignedTransaction, Timestamp, Validator,
    block::{MAX_EVIDENCE, evidence_root, transactions_root},
    bytes::BoundedVec,
    encoding::{decode, encode},
    hash::GenesisHash,
    proof::{RowProof, StateTable, TableRoot},
    receipt::Invalid,
    state::{AccountRecord, PARAMETERS_ROW, SUPPLY_ROW, Supply},
    time::{Duration, Round},
    vote::{Certificate, Evidence},
    vrf::VrfProof,
};

/// What the proposer of a block decides on.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Block time: later than the head's.
    pub time: Timestamp,
    /// The round it is proposed in.
    pub round: Round,
    /// The proposer.
    pub proposer: PublicKey,
    /// Its proof of randomness over [`vrf::input`](valo_protocol::vrf::input) of the head's randomness and the height.
    pub vrf_proof: VrfProof,
    /// The certificate of the head; none at height 1.
    pub last_commit: Option<Certificate>,
    /// Proofs of faults; those that prove nothing any more are left out.
    pub evidence: Vec<Evidence>,
}

/// The state machine over a store.
#[derive(Debug, Clone)]
pub struct Ledger<S> {
    store: S,
    genesis: Arc<Genesis>,
    genesis_hash: GenesisHash,
    params: Arc<Parameters>,
    supply: Supply,
    trees: Trees,
    head: Head,
    due: Due,
}

impl<S: Store> Ledger<S> {
    /// The genesis state, to be written to an empty store before [`Self::open`].
    pub fn genesis_changes(genesis: &Genesis) -> Result<Changes, LedgerError> {
        genesis::changes(genesis)
    }

    /// Opens the state in a store: reads every committed row and checks that they give the recorded state root.
    pub fn open(genesis: Arc<Genesis>, store: S) -> Result<Self, LedgerError> {
        let genesis_hash = genesis.hash();
        let found = store.get(Table::Meta, GENESIS_KEY)?.ok_or(LedgerError::Empty)?;
        let found: GenesisHash = decode("genesis hash", &found)?;
        if found != genesis_hash {
            return Err(LedgerError::OtherChain { expected: genesis_hash, found });
        }
        let head = Head::read(&store)?.ok_or(LedgerError::Empty)?;
        let trees = Trees::build(&store)?;
        let root = trees.root();
        if root != head.state_root {
            return Err(LedgerError::Root { height: head.height, expected: head.state_root, found: root });
        }
        let params: Parameters = tables::row_of(&store, Table::System, PARAMETERS_ROW)?
            .ok_or_else(|| LedgerError::corrupt("system", "the parameters are missing"))?;
        let supply: Supply = tables::row_of(&store, Table::System, SUPPLY_ROW)?
            .ok_or_else(|| LedgerError::corrupt("system", "the supply is missing"))?;
        let due = execute::due(&store, &head, &params)?;
        Ok(Self { store, genesis, genesis_hash, params: Arc::new(params), supply, trees, head, due })
    }

    /// The store.
    pub fn store(&self) -> &S {
        &self.store
    }

    /// The store, to write [`Effects::changes`] to it.
    pub fn store_mut(&mut self) -> &mut S {
        &mut self.store
    }

    /// The kept totals, to be falsified by a test.
    #[cfg(test)]
    pub(crate) fn supply_mut(&mut self) -> &mut Supply {
        &mut self.supply
    }

    /// Typed reads of the state after the head.
    pub fn view(&self) -> View<'_> {
        View::new(&self.store)
    }

    /// The genesis document.
    pub fn genesis(&self) -> &Arc<Genesis> {
        &self.genesis
    }

    /// The chain.
    pub fn genesis_hash(&self) -> GenesisHash {
        self.genesis_hash
    }

    /// The parameters in force.
    pub fn params(&self) -> &Arc<Parameters> {
        &self.params
    }

    /// The last block and what follows from it.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The state root after the head.
    pub fn state_root(&self) -> Hash {
        self.head.state_root
    }

    /// Who proposes in a round of the next height.
    pub fn proposer(&self, round: Round) -> Option<Validator> {
        self.head.proposer(round)
    }

    /// When the next block is due, transactions aside.
    pub fn due(&self) -> Due {
        self.due
    }

    /// Whether a transaction of `size` bytes could be in the next block, its signature aside. [`Invalid::NonceGap`] says
    /// that it could be later.
    pub fn validity(&self, transaction: &SignedTransaction, size: usize) -> Result<Result<(), Invalid>, LedgerError> {
        View::new(&self.store).validity(&self.params, transaction, size)
    }

    /// The key that signs for an account.
    pub fn sender_key(&self, account: AccountNumber) -> Result<Option<PublicKey>, LedgerError> {
        Ok(tables::row::<AccountRecord>(&self.store, account.index())?.map(|record| record.key))
    }

    /// The account of a key.
    pub fn account_by_key(&self, key: &PublicKey) -> Result<Option<AccountNumber>, LedgerError> {
        accounts::account_of(&self.store, key)
    }

    /// Makes the next block of the candidates that are valid and fit, in their order. Their signatures are the
    /// caller's to check. A time that is not later than the head's is moved to the first that is.
    pub fn draft(
        &self,
        draft: Draft,
        candidates: &mut dyn Iterator<Item = SignedTransaction>,
    ) -> Result<Block, LedgerError> {
        let mut state = Overlay::new(&self.store);
        let mut admission = Admission::new(self.params.clone());
        let mut transactions = Vec::new();
        for candidate in candidates {
            let size = encode(&candidate).len();
            match admission.admit(&mut state, &candidate.transaction, size) {
                Ok(_) => transactions.push(candidate),
                Err(admission::Refusal::Ledger(error)) => return Err(error),
                Err(admission::Refusal::Invalid(_) | admission::Refusal::Full { .. }) => {}
            }
        }
        let evidence = self.acceptable(draft.evidence)?;
        let time = draft.time.max(self.head.time.after(Duration(1)));
        let header = Header {
            version: Header::VERSION,
            height: self.head.height.next(),
            round: draft.round,
            time,
            parent: self.head.block,
            proposer: draft.proposer,
            vrf_proof: draft.vrf_proof,
            transactions: transactions_root(&transactions),
            last_commit: draft.last_commit.as_ref().map(Certificate::hash).unwrap_or_default(),
            evidence: evidence_root(&evidence),
            state: self.head.state_root,
            next_validators: check::next_validators(&self.store, &self.params, &self.head, time)?,
        };
        Ok(Block { header, last_commit: draft.last_commit, evidence, transactions })
    }

    /// Of what validators are accused of, what the next block may carry: one proof against each.
    fn acceptable(&self, found: Vec<Evidence>) -> Result<BoundedVec<Evidence, MAX_EVIDENCE>, LedgerError> {
        let mut culprits = BTreeSet::new();
        let mut evidence = Vec::new();
        for fault in found {
            let is_good = registry::check_evidence(&self.store, &self.genesis_hash, self.head.height, &fault)?.is_ok();
            if is_good && evidence.len() < MAX_EVIDENCE && culprits.insert(fault.culprit()) {
                evidence.push(fault);
            }
        }
        BoundedVec::new(evidence).map_err(|_| LedgerError::Overflow("evidence of a block"))
    }

    /// Whether a block is acceptable as the next one: everything but the signatures of transactions, those in
    /// the certificate ([`Self::check_certificate`]) and the wall clock.
    pub fn check(&self, block: &Block) -> Result<(), BlockError> {
        check::header(&self.store, &self.genesis_hash, &self.params, &self.head, block)?;
        check::transactions(&mut Overlay::new(&self.store), &self.params, block)?;
        Ok(())
    }

    /// Verifies the signatures in the certificate of the head that a block carries.
    pub fn check_certificate(&self, block: &Block) -> Result<(), BlockError> {
        match &block.last_commit {
            Some(certificate) => Ok(certificate.verify(&self.genesis_hash, &self.head.signers)?),
            None => Ok(()),
        }
    }

    /// What a block does that [`Self::check`] accepts. Changes nothing.
    pub fn execute(&self, block: &Block) -> Result<Effects, LedgerError> {
        let base = Base {
            store: &self.store,
            trees: &self.trees,
            head: &self.head,
            params: &self.params,
            supply: self.supply,
            genesis: self.genesis_hash,
        };
        execute::execute(&base, block)
    }

    /// Moves on to the state after a block, whose changes are in the store already.
    pub fn commit(&mut self, effects: Effects) -> Result<(), LedgerError> {
        let Effects { head, parent, due, trees, params, supply, .. } = effects;
        if parent != self.head.block {
            return Err(LedgerError::OutOfOrder { head: self.head.height, found: head.height });
        }
        self.trees.apply(&trees);
        self.head = head;
        self.due = due;
        self.params = params;
        self.supply = supply;
        Ok(())
    }

    /// The lengths and roots of all tables after the head.
    pub fn table_roots(&self) -> Vec<TableRoot> {
        self.trees.roots()
    }

    /// A row of the state after the head, with the way to [`Self::state_root`]; none when there is no such row.
    pub fn prove(&self, table: StateTable, index: u64) -> Result<Option<RowProof>, LedgerError> {
        let Some(path) = self.trees.prove(table, index) else { return Ok(None) };
        let row = self.store.get(Table::from(table), &tables::row_key(index))?;
        let row =
            row.ok_or_else(|| LedgerError::corrupt(Table::from(table).name(), format!("row {index} is missing")))?;
        Ok(Some(RowProof { table, index, row, path, tables: self.table_roots() }))
    }
}

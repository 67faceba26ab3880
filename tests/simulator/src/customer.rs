//! A simulated submitter of jobs: says one thing after the other, and again until it is final.

use crate::{market::Order, pool, scenario::Micros};
use valo::chain::MemoryDisk;
use valo_ledger::{LedgerError, View, fees};
use valo_protocol::{
    AccountNumber, Action, Amount, GenesisHash, Parameters, SecretKey, Signature, SignedTransaction, Timestamp,
    Transaction, Varint, job::JobId,
};

/// How far an order is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is not submitted yet.
    Ahead,
    /// It was said with this nonce.
    Said(u64),
    /// It is a job.
    Taken(JobId),
    /// The chain did not take it.
    Refused,
}

/// A submitter.
#[derive(Debug)]
pub struct Customer {
    /// Its orders.
    pub orders: Vec<(Order, Standing)>,
    /// The validator it talks to.
    pub machine: usize,
    account: AccountNumber,
    key: SecretKey,
    genesis: GenesisHash,
    said: Option<SignedTransaction>,
}

impl Customer {
    /// A submitter with these orders.
    pub fn new(
        orders: Vec<Order>,
        machine: usize,
        account: AccountNumber,
        key: SecretKey,
        genesis: GenesisHash,
    ) -> Self {
        let orders = orders.into_iter().map(|order| (order, Standing::Ahead)).collect();
        Self { orders, machine, account, key, genesis, said: None }
    }

    /// Whether it has nothing more to say.
    pub fn is_done(&self) -> bool {
        self.said.is_none()
            && self.orders.iter().all(|(order, standing)| match standing {
                Standing::Taken(_) => order.cancel.is_none(),
                Standing::Refused => true,
                Standing::Ahead | Standing::Said(_) => false,
            })
    }

    /// What it says now, by the state of its validator.
    pub fn look(
        &mut self,
        disk: &MemoryDisk,
        now: Micros,
        clock: Timestamp,
    ) -> Result<Option<SignedTransaction>, LedgerError> {
        let view = View::new(disk);
        let nonce = view.account(self.account)?.map_or(0, |account| account.nonce.0);
        self.settle(&view, nonce)?;
        if self.said.as_ref().is_some_and(|said| said.transaction.nonce.0 != nonce || !pool::is_useful(disk, said)) {
            self.said = None;
        }
        if self.said.is_none()
            && let Some(action) = self.next(&view, nonce, now, clock)?
        {
            self.said = Some(self.sign(nonce, action, &view.params()?));
        }
        Ok(self.said.clone())
    }

    /// What became of what was said.
    fn settle(&mut self, view: &View<'_>, nonce: u64) -> Result<(), LedgerError> {
        let jobs = view.jobs_of(self.account, JobId(0), usize::MAX)?;
        for (index, (_, standing)) in self.orders.iter_mut().enumerate() {
            if matches!(standing, Standing::Said(said) if *said < nonce) {
                let own = |(job, _): &&(valo_protocol::proof::JobRecord, _)| job.client_id == Some(client_id(index));
                *standing = jobs.iter().find(own).map_or(Standing::Refused, |(job, _)| Standing::Taken(job.job));
            }
        }
        Ok(())
    }

    fn next(
        &mut self,
        view: &View<'_>,
        nonce: u64,
        now: Micros,
        clock: Timestamp,
    ) -> Result<Option<Action>, LedgerError> {
        for (index, (order, standing)) in self.orders.iter_mut().enumerate() {
            match *standing {
                Standing::Taken(job) if order.cancel.is_some_and(|at| at <= now) => {
                    order.cancel = None;
                    if view.job(job)?.is_some_and(|(record, _)| !record.phase.is_over()) {
                        return Ok(Some(Action::CancelJob { job }));
                    }
                }
                // Said(nonce): it was dropped before it was final.
                Standing::Ahead | Standing::Said(_) if order.at <= now => {
                    *standing = Standing::Said(nonce);
                    let mut contract = order.contract.clone();
                    contract.deadline = clock.after(order.limit);
                    return Ok(Some(Action::SubmitJob { client_id: Some(client_id(index)), contract }));
                }
                _ => {}
            }
        }
        Ok(None)
    }

    fn sign(&self, nonce: u64, action: Action, params: &Parameters) -> SignedTransaction {
        let mut transaction =
            Transaction { sender: self.account, nonce: Varint(nonce), max_fee: Amount::from_units(u64::MAX), action };
        let unsigned = SignedTransaction { transaction: transaction.clone(), signature: Signature([0; 64]) };
        transaction.max_fee = fees::fee(&transaction, unsigned.to_bytes().len() as u64, params);
        transaction.sign(&self.genesis, &self.key)
    }
}

fn client_id(index: usize) -> [u8; 16] {
    [index as u8 + 1; 16]
}

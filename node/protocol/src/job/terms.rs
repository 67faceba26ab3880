//! What a network asks of a contract as things stand: tiers that can run it, workers to check each other, a deadline
//! ahead, and a budget and stakes that cover it. The ledger refuses by these rules what the command line and the operator
//! refuse by them before anything is uploaded. What holds whatever the state of the chain is in
//! [`JobContract::check`].

use super::{JobContract, Program, Stage, StageIndex, Verification, locked_stake};
use crate::{
    Action, Amount, Parameters,
    receipt::Reason,
    registry::{Runtime, Tier, TierName},
    time::{Duration, Timestamp},
};

/// A tier, with those who work in it and are independent of each other: different owners, or nodes where a network says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The tier.
    pub tier: Tier,
    /// Workers that take part or are absent.
    pub workers: u32,
    /// Workers that take part.
    pub active: u32,
}

/// A contract that a network does not take as things stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The stage that it is about, if it is about one.
    pub stage: Option<StageIndex>,
    /// Why.
    pub reason: Reason,
}

impl JobContract {
    /// Holds a contract against the offers of a network. The outer error is that of `offer`.
    pub fn check_terms<E>(
        &self,
        now: Timestamp,
        longest: Duration,
        mut offer: impl FnMut(&TierName) -> Result<Option<Offer>, E>,
    ) -> Result<Result<(), Refusal>, E> {
        let deadline = self.deadline;
        if deadline <= now || deadline > now.after(longest) {
            return Ok(Err(Refusal { stage: None, reason: Reason::Deadline { deadline, now } }));
        }
        let Verification::Replicated { replicas, .. } = self.verification;
        let mut needed = self.tip;
        for (index, stage) in (0u8..).map(StageIndex).zip(&self.stages) {
            let price = match offer(&stage.tier)? {
                Some(offer) => self.check_offer(stage, &offer),
                None => Err(Reason::NoTier(stage.tier.clone())),
            };
            match price {
                Ok(price) => needed = needed.saturating_add(price.saturating_mul(u64::from(replicas))),
                Err(reason) => return Ok(Err(Refusal { stage: Some(index), reason })),
            }
        }
        if self.budget < needed {
            return Ok(Err(Refusal { stage: None, reason: Reason::BudgetTooSmall { budget: self.budget, needed } }));
        }
        Ok(Ok(()))
    }

    /// Whether a tier can run a stage; gives the price of one replica of a shard at its limit.
    fn check_offer(&self, stage: &Stage, offer: &Offer) -> Result<Amount, Reason> {
        let Verification::Replicated { replicas, quorum } = self.verification;
        let tier = &offer.tier;
        check_tier(stage, tier)?;
        // A node that is absent may come back; until then fewer replicas than asked for must make a quorum.
        if offer.workers < u32::from(replicas) || offer.active < u32::from(quorum) {
            let available = if offer.workers < u32::from(replicas) { offer.workers } else { offer.active };
            let needed = u32::from(replicas);
            return Err(Reason::TooFewWorkers { tier: stage.tier.clone(), available, needed });
        }
        let price = stage.limit_price(tier.price).unwrap_or(Amount::MOST);
        if locked_stake(price) > tier.stake_per_slot {
            return Err(Reason::ShardTooDear { stage: stage.name.to_string(), price, stake: tier.stake_per_slot });
        }
        Ok(price)
    }

    /// The most shards that a network takes in one contract of as many stages and replicas; none if this one has no more.
    pub fn too_many_shards(&self, params: &Parameters) -> Option<u64> {
        let action = |contract: Self| Action::SubmitJob { client_id: None, contract };
        let weigh = |contract: Self| params.weights.of(&action(contract));
        let most = params.max_weight(&action(self.clone()));
        if weigh(self.clone()) <= most {
            return None;
        }
        let mut empty = self.clone();
        empty.stages = Default::default();
        let stages = u64::try_from(self.stages.len()).unwrap_or(u64::MAX);
        let fixed = weigh(empty).saturating_add(params.weights.stage.saturating_mul(stages));
        let Verification::Replicated { replicas, .. } = self.verification;
        let each = params.weights.assignment.saturating_mul(u64::from(replicas));
        most.saturating_sub(fixed).checked_div(each)
    }
}

fn check_tier(stage: &Stage, tier: &Tier) -> Result<(), Reason> {
    let runs = match &stage.program {
        Program::Wasm { .. } => tier.runtime == Runtime::Wasm,
        Program::Container { .. } => tier.runtime == Runtime::Container,
    };
    if !runs {
        return Err(Reason::WrongRuntime(stage.tier.clone()));
    }
    if stage.memory > tier.memory {
        return Err(Reason::TierTooSmall { tier: stage.tier.clone(), available: tier.memory, needed: stage.memory });
    }
    match &stage.program {
        Program::Container { milli_cpu, .. } if *milli_cpu > tier.milli_cpu => Err(Reason::Contract(format!(
            "stage `{}` asks for {milli_cpu} thousandths of a core; a slot of tier `{}` has {}",
            stage.name, stage.tier, tier.milli_cpu
        ))),
        _ => Ok(()),
    }
}

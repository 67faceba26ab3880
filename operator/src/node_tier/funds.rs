//! What new nodes are paid from: a pure function of what wallets can spend.
//!
//! Nodes are paid for in order of their ordinals, and what one takes the next has no more. Several NodeTiers that share a
//! wallet each count on all of it: together they may begin more nodes than it pays for, and the chain refuses those.

use std::collections::BTreeMap;
use valo_protocol::{Amount, amount::UNITS_PER_VALO};

/// What stays in a wallet for fees, and because the chain takes no account down to nothing. 0.1 VALO: many fees.
pub const RESERVE: Amount = Amount::from_units(UNITS_PER_VALO / 10);

/// What wallets can spend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Funds {
    /// One wallet pays for all nodes.
    One(Amount),
    /// Each node has a wallet of its own, which another fills.
    Each {
        /// Those that have an account, by ordinal.
        own: BTreeMap<i32, Amount>,
        /// What the one that fills them has.
        payer: Amount,
        /// What each is filled up to.
        amount: Amount,
    },
}

/// Whether a node is paid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paid {
    /// Its wallet has the money.
    Now,
    /// Its wallet is filled soon.
    Soon,
    /// So much is missing.
    Lacks(Amount),
}

impl Funds {
    /// Sets aside what a node costs, or says what is missing.
    pub fn pay(&mut self, ordinal: i32, cost: Amount) -> Paid {
        match self {
            _ if cost.is_zero() => Paid::Now,
            Self::One(purse) => {
                let missing = cost.saturating_add(RESERVE).saturating_sub(*purse);
                // What is left goes towards the next: what is missing in the end is missing in sum.
                *purse = purse.saturating_sub(cost).max(RESERVE.min(*purse));
                if missing.is_zero() { Paid::Now } else { Paid::Lacks(missing) }
            }
            Self::Each { own, payer, amount } => {
                let held = own.get(&ordinal).copied().unwrap_or_default();
                let needed = cost.saturating_add(RESERVE);
                if held >= needed {
                    return Paid::Now;
                }
                if needed > *amount {
                    return Paid::Lacks(needed.saturating_sub(held.max(*amount)));
                }
                let filled = amount.saturating_sub(held);
                let missing = filled.saturating_add(RESERVE).saturating_sub(*payer);
                *payer = payer.saturating_sub(filled).max(RESERVE.min(*payer));
                if missing.is_zero() { Paid::Soon } else { Paid::Lacks(missing) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valo(amount: u64) -> Amount {
        Amount::from_valo(amount).unwrap()
    }

    fn lacks(units: u64) -> Paid {
        Paid::Lacks(Amount::from_units(units))
    }

    #[test]
    fn one_wallet_pays_as_long_as_it_has_something() {
        let tenth = RESERVE.units();
        let mut funds = Funds::One(valo(250));
        assert_eq!((funds.pay(0, valo(100)), funds.pay(1, valo(100))), (Paid::Now, Paid::Now));
        assert_eq!(funds.pay(2, valo(100)), lacks(valo(50).units() + tenth), "50 are left");
        assert_eq!(funds.pay(3, valo(100)), lacks(valo(100).units()), "what is left was counted once");
        assert_eq!(funds.pay(4, Amount::ZERO), Paid::Now, "what costs nothing");
        assert_eq!(Funds::One(valo(100)).pay(0, valo(100)), lacks(tenth), "nothing would be left for fees");
    }

    #[test]
    fn wallets_of_nodes_are_filled_as_long_as_the_other_has_something() {
        let own = [(0, valo(150)), (1, valo(30))].into();
        let mut funds = Funds::Each { own, payer: valo(250), amount: valo(120) };
        let paid: Vec<Paid> = (0..4).map(|ordinal| funds.pay(ordinal, valo(100))).collect();
        // 90 and 120 of 250, and 40 for a third.
        let missing = valo(80).units() + RESERVE.units();
        assert_eq!(paid, [Paid::Now, Paid::Soon, Paid::Soon, lacks(missing)]);
        let mut small = Funds::Each { own: BTreeMap::new(), payer: valo(1000), amount: valo(90) };
        assert_eq!(small.pay(0, valo(100)), lacks(valo(10).units() + RESERVE.units()), "it never will be enough");
    }
}

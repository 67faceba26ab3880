//! Says what is known of the account.

use super::{
    Error,
    apply::Applied,
    dereference::secret_of,
    validate::{Checked, stake, unbonding},
};
use crate::{
    Context,
    conditions::{Conditions, READY},
};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use valo_contract::quantity::Money;
use valo_crds::{Unbonding, Wallet, WalletStatus};

/// The condition that the account holds what `fundFrom` says.
const FUNDED: &str = "Funded";

/// Writes the status.
pub async fn report(context: &Context, wallet: &Wallet, checked: &Checked, applied: &Applied) -> Result<(), Error> {
    let status = status(wallet, checked, applied, context.now());
    Ok(context.cluster.apply_status(wallet, wallet.status.as_ref(), &status).await?)
}

/// The status of a wallet.
pub fn status(wallet: &Wallet, checked: &Checked, applied: &Applied, now: Timestamp) -> WalletStatus {
    let last = wallet.status.clone().unwrap_or_default();
    let generation = wallet.metadata.generation;
    let mut conditions = Conditions::from(&last.conditions, generation, now);
    let (ready, reason, message) = readiness(wallet, checked);
    conditions.set(READY, ready, reason, message);
    match (&checked.funding, &applied.unfunded) {
        (Some(_), Some(why)) => conditions.set(FUNDED, false, "Waiting", why.clone()),
        (Some(_), None) => conditions.set(FUNDED, true, "Funded", "the account holds what spec.fundFrom says"),
        (None, _) => conditions.forget(FUNDED),
    }
    let mut status = WalletStatus {
        observed_generation: generation,
        public_key: Some(applied.key.to_string()),
        secret: Some(secret_of(wallet)),
        conditions: conditions.into_list(),
        ..last
    };
    // What was read last stays while the chain is silent.
    if let (Some(chain), Some(account)) = (&checked.chain, &checked.account) {
        status.account = Some(account.number.to_string());
        status.balance = Some(Money(account.balance));
        status.stake = Some(Money(stake(&checked.nodes)));
        status.unbonding_total = Some(Money(unbonding(&checked.nodes)));
        status.unbonding = parts(checked);
        status.height = i64::try_from(chain.status.height.0).ok();
    }
    status
}

fn readiness(wallet: &Wallet, checked: &Checked) -> (bool, &'static str, String) {
    let network = &wallet.spec.network_ref.name;
    if !checked.has_network {
        return (false, "NetworkMissing", format!("spec.networkRef.name: there is no Network {network}"));
    }
    match (&checked.account, &checked.chain) {
        (Some(account), _) => (true, "AccountOpen", format!("account {} is on the chain", account.number)),
        (None, Some(chain)) => match chain.behind() {
            Some(why) => {
                let why = format!("no node of this cluster is caught up, and the account not known yet: {why}");
                (false, "NotCaughtUp", why)
            }
            None => (false, "NoAccount", "the chain has no account of this key yet: send VALO to it".to_owned()),
        },
        (None, None) => match &checked.silent {
            Some(silent) => (false, "ChainUnreachable", silent.clone()),
            None => (false, "WaitingForNetwork", format!("Network {network} has no genesis yet")),
        },
    }
}

fn parts(checked: &Checked) -> Vec<Unbonding> {
    let all = checked.nodes.iter().flat_map(|node| node.unbonding.iter().map(move |part| (node.id, part)));
    let mut parts: Vec<Unbonding> = all
        .filter_map(|(node, part)| {
            let paid_at = Timestamp::from_millisecond(i64::try_from(part.until.0).ok()?).ok()?;
            Some(Unbonding { node: i64::from(node.0), amount: Money(part.amount), paid_at: Time(paid_at) })
        })
        .collect();
    parts.sort_by_key(|part| (part.paid_at.0, part.node));
    parts
}

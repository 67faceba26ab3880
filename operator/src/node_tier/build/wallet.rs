//! A Wallet for each node, filled by another: for trials, where shards need different owners.

use super::labels;
use crate::{names, owned};
use kube::ResourceExt;
use valo_crds::{FundFrom, LocalReference, NodeTier, Wallet, WalletSpec};

/// Builds those of the wanted nodes. The others stay as they are: they own what is on its way back.
pub fn build(tier: &NodeTier, wanted: i32) -> Vec<Wallet> {
    let template = tier.spec.stake.as_ref().and_then(|stake| stake.wallet_template.as_ref());
    let Some(template) = template else { return Vec::new() };
    (0..wanted)
        .map(|ordinal| {
            let name = names::pod(&tier.name_any(), ordinal);
            let from = LocalReference { name: template.fund_from.clone() };
            let mut wallet = Wallet::new(
                &name,
                WalletSpec {
                    network_ref: tier.spec.network_ref.clone(),
                    secret_ref: None,
                    fund_from: Some(FundFrom { wallet_ref: from, amount: template.amount }),
                },
            );
            wallet.metadata = owned::metadata(tier, name, labels(tier));
            wallet
        })
        .collect()
}

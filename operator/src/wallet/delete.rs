//! A Wallet goes when nothing signs with it any more. Its Secret stays.

use super::Error;
use crate::{
    Context,
    controller::SOON,
    names::{FINALIZER, namespace_of, reference},
};
use kube::{ResourceExt, runtime::controller::Action};
use valo_crds::{JobContract, NodeTier, Wallet};

/// Ends a Wallet, or waits.
pub async fn delete(context: &Context, wallet: &Wallet) -> Result<Action, Error> {
    let (tiers, malformed) = context.cluster.list_all::<NodeTier>(&namespace_of(wallet), "").await?;
    let name = wallet.name_any();
    // One that cannot be read may sign with it too.
    let signs = tiers.iter().find(|tier| signs_with(tier, wallet)).map(ResourceExt::name_any);
    if let Some(tier) = signs.or_else(|| malformed.into_iter().next()) {
        let note = format!("NodeTier {tier} signs with Wallet {name}: it goes first");
        context.tell(&reference(wallet), "Waiting", "Delete", note).await;
        return Ok(Action::requeue(SOON));
    }
    let jobs: Vec<JobContract> = context.cluster.list(&namespace_of(wallet), "").await?;
    let pays = |job: &&JobContract| job.spec.0.wallet_ref.as_ref().is_some_and(|reference| reference.name == name);
    // Those that are over need no signature any more, nor do those that are not deleted: they run on.
    if let Some(job) = jobs.iter().filter(pays).find(|job| job.metadata.deletion_timestamp.is_some()) {
        let note = format!("JobContract {} is cancelled first", job.name_any());
        context.tell(&reference(wallet), "Waiting", "Delete", note).await;
        return Ok(Action::requeue(SOON));
    }
    if context.cluster.set_finalizer(wallet, FINALIZER, false).await? {
        let secret = super::dereference::secret_of(wallet).name;
        let note = format!("Secret {secret} stays: it holds the key of the account");
        context.tell(&reference(wallet), "SecretKept", "Delete", note).await;
    }
    Ok(Action::await_change())
}

/// Whether a NodeTier needs the wallet: by reference, or because it made it for one of its nodes.
fn signs_with(tier: &NodeTier, wallet: &Wallet) -> bool {
    let name = wallet.name_any();
    let named = tier.spec.stake.as_ref().is_some_and(|stake| {
        stake.wallet_ref.as_ref().is_some_and(|reference| reference.name == name)
            || stake.wallet_template.as_ref().is_some_and(|template| template.fund_from == name)
    });
    let owned = wallet.owner_references().iter().any(|owner| Some(&owner.uid) == tier.metadata.uid.as_ref());
    named || owned
}

//! Brings a wallet about: its Secret first, then its money.

use super::{
    Error,
    build::Prepared,
    validate::{Checked, Funding},
};
use crate::{
    Context,
    chain::{Chain, Signer, SignerError, found},
    keys,
    names::{namespace_of, reference},
};
use kube::ResourceExt;
use valo_crds::Wallet;
use valo_protocol::{Action, Amount, PublicKey, SecretKey};

/// What came of it.
#[derive(Debug)]
pub struct Applied {
    /// The key that the wallet has, whoever made it.
    pub key: PublicKey,
    /// Why the account is not funded, if it should be.
    pub unfunded: Option<String>,
}

/// Applies what was built, and fills the account.
pub async fn apply(
    context: &Context,
    wallet: &Wallet,
    checked: &Checked,
    prepared: Prepared,
) -> Result<Applied, Error> {
    let Prepared { secret } = prepared;
    context.cluster.set_finalizer(wallet, crate::names::FINALIZER, true).await?;
    let mut key = checked.key.public();
    if let Some(secret) = secret {
        let made = context.cluster.make_once(&secret).await?;
        // Another operator may have been quicker: its key is the one.
        key = keys::read(&made, keys::DATA_KEY).map_err(Error::Key)?.public();
        let note = format!("Secret {} holds the key {key}: back it up", made.name_any());
        context.tell(&reference(wallet), "KeyGenerated", "Generate", note).await;
    }
    let unfunded = match &checked.funding {
        Some(funding) => fund(context, wallet, checked, funding).await?,
        None => None,
    };
    Ok(Applied { key, unfunded })
}

/// Pays what is missing. What it waits for, if it waits.
async fn fund(
    context: &Context,
    wallet: &Wallet,
    checked: &Checked,
    funding: &Funding,
) -> Result<Option<String>, Error> {
    if funding.missing.is_zero() {
        return Ok(None);
    }
    let payer = wallet.spec.fund_from.as_ref().map(|from| from.wallet_ref.name.clone()).unwrap_or_default();
    let Some(chain) = &checked.chain else { return Ok(Some("the chain does not answer yet".to_owned())) };
    let Some(payer_key) = &funding.payer else { return Ok(Some(format!("Wallet {payer} has no key yet"))) };
    if checked.is_new {
        return Ok(Some("the key was made just now".to_owned()));
    }
    let Some(mut signer) = context.chains.signer(chain, payer_key).await? else {
        return Ok(Some(format!("Wallet {payer} has no account yet")));
    };
    // Read again behind the nonce of the payer: see `Signer`.
    let missing = missing(wallet, &signer, &checked.key).await?;
    if missing.is_zero() {
        return Ok(None);
    }
    if signer.account.balance <= missing {
        return Ok(Some(format!("Wallet {payer} has {} VALO, and {missing} are needed", signer.account.balance)));
    }
    match signer.perform(context, Action::TransferToKey { key: checked.key.public(), amount: missing }).await {
        Ok(_) => {}
        Err(error @ SignerError::Busy { .. }) => return Ok(Some(error.to_string())),
        Err(error) => return Err(error.into()),
    }
    let note = format!("{missing} VALO from Wallet {payer} in namespace {}", namespace_of(wallet));
    context.tell(&reference(wallet), "Funded", "Fund", note).await;
    Ok(Some("it was funded just now".to_owned()))
}

async fn missing(wallet: &Wallet, signer: &Signer, key: &SecretKey) -> Result<Amount, Error> {
    let chain: &Chain = signer.chain();
    let wanted = wallet.spec.fund_from.as_ref().map_or(Amount::ZERO, |from| from.amount.0);
    let failed = crate::chain::ChainError::from;
    let account = found(chain.client.account(key.public()).await).map_err(failed)?;
    let nodes = match &account {
        Some(account) => chain.nodes_of(account.number).await.map_err(failed)?,
        None => Vec::new(),
    };
    Ok(super::validate::missing(wanted, super::validate::holdings(account.as_ref(), &nodes)))
}

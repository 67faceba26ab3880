//! Refuses wallets that cannot be, and never loses a key.

use super::{
    Error,
    dereference::{Found, secret_of},
};
use crate::{
    chain::{Chain, sum},
    keys,
};
use valo_client::types::{Account, Node};
use valo_crds::Wallet;
use valo_protocol::{Amount, SecretKey};

/// A wallet that can be.
#[derive(Debug)]
pub struct Checked {
    /// Its key.
    pub key: SecretKey,
    /// Whether the key is new: its Secret is still to be made.
    pub is_new: bool,
    /// Whether the Network is there.
    pub has_network: bool,
    /// The chain, if a node answers.
    pub chain: Option<Chain>,
    /// Why none does.
    pub silent: Option<String>,
    /// The account, if the chain has it.
    pub account: Option<Account>,
    /// The nodes that the account owns.
    pub nodes: Vec<Node>,
    /// What is missing of what `fundFrom` says, and who pays it.
    pub funding: Option<Funding>,
}

/// What `fundFrom` asks for.
#[derive(Debug)]
pub struct Funding {
    /// How much is missing; nothing when it is all there.
    pub missing: Amount,
    /// The key of the wallet that pays, as soon as that one has a key.
    pub payer: Option<SecretKey>,
}

/// Checks a wallet.
pub fn validate(wallet: &Wallet, found: Found) -> Result<Checked, Error> {
    let Found { secret, fresh, network, payer, payer_secret, chain, silent, account, nodes } = found;
    let reference = secret_of(wallet);
    let known = wallet.status.as_ref().and_then(|status| status.public_key.clone());
    let (key, is_new) = match (&secret, fresh, known.clone()) {
        (Some(secret), _, _) => (keys::read(secret, &reference.key).map_err(Error::Key)?, false),
        (None, _, Some(key)) => return Err(Error::KeyLost { secret: reference.name, key }),
        (None, Some(fresh), None) => (fresh, true),
        (None, None, None) => return Err(Error::NoSecret(reference.name)),
    };
    if let Some(known) = known.filter(|known| *known != key.public().to_string()) {
        return Err(Error::KeyChanged { secret: reference.name, key: known, found: key.public().to_string() });
    }
    if let Some(payer) = payer.as_ref().filter(|payer| payer.spec.network_ref != wallet.spec.network_ref) {
        return Err(Error::OtherNetwork {
            payer: payer.metadata.name.clone().unwrap_or_default(),
            network: payer.spec.network_ref.name.clone(),
            own: wallet.spec.network_ref.name.clone(),
        });
    }
    let payer_key = match (&payer, &payer_secret) {
        (Some(payer), Some(secret)) => keys::read(secret, &secret_of(payer).key).ok(),
        _ => None,
    };
    let funding = wallet
        .spec
        .fund_from
        .as_ref()
        .map(|from| Funding { missing: missing(from.amount.0, holdings(account.as_ref(), &nodes)), payer: payer_key });
    Ok(Checked { key, is_new, has_network: network.is_some(), chain, silent, account, nodes, funding })
}

/// What is to be paid: all that is missing, once it is more than a tenth. Fees alone are not worth a transfer each.
pub fn missing(wanted: Amount, held: Amount) -> Amount {
    let missing = wanted.saturating_sub(held);
    if missing.units() > wanted.units() / 10 { missing } else { Amount::ZERO }
}

/// Everything that an account holds: what it can spend, and what stands behind its nodes or is on its way back.
pub fn holdings(account: Option<&Account>, nodes: &[Node]) -> Amount {
    let balance = account.map_or(Amount::ZERO, |account| account.balance);
    sum([balance, stake(nodes), unbonding(nodes)])
}

/// What is bonded for nodes.
pub fn stake(nodes: &[Node]) -> Amount {
    sum(nodes.iter().map(|node| node.stake))
}

/// What is being unbonded.
pub fn unbonding(nodes: &[Node]) -> Amount {
    sum(nodes.iter().flat_map(|node| &node.unbonding).map(|part| part.amount))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names;
    use serde_json::json;
    use valo_crds::WalletStatus;

    fn wallet(spec: serde_json::Value) -> Wallet {
        serde_json::from_value(json!({
            "apiVersion": "valo.network/v1alpha1", "kind": "Wallet",
            "metadata": {"name": "alice", "namespace": "valo"}, "spec": spec,
        }))
        .unwrap()
    }

    fn seed(byte: u8) -> SecretKey {
        SecretKey::from_seed([byte; 32])
    }

    fn secret(byte: u8) -> k8s_openapi::api::core::v1::Secret {
        keys::secret("valo", "alice", names::labels(&[]), &seed(byte))
    }

    fn known(mut wallet: Wallet, byte: u8) -> Wallet {
        wallet.status =
            Some(WalletStatus { public_key: Some(seed(byte).public().to_string()), ..WalletStatus::default() });
        wallet
    }

    fn plain() -> Wallet {
        wallet(json!({"networkRef": {"name": "demo"}}))
    }

    #[test]
    fn a_key_is_made_only_where_there_never_was_one() {
        let checked = validate(&plain(), Found { fresh: Some(seed(1)), ..Found::default() }).unwrap();
        assert!(checked.is_new);
        let found = Found { secret: Some(secret(2)), ..Found::default() };
        let checked = validate(&plain(), found).unwrap();
        assert!(!checked.is_new);
        assert_eq!(checked.key.public(), seed(2).public());
        let lost = validate(&known(plain(), 2), Found { fresh: Some(seed(1)), ..Found::default() }).unwrap_err();
        assert!(matches!(&lost, Error::KeyLost { .. }), "{lost}");
        let changed = validate(&known(plain(), 3), Found { secret: Some(secret(2)), ..Found::default() }).unwrap_err();
        assert!(matches!(&changed, Error::KeyChanged { .. }), "{changed}");
    }

    #[test]
    fn a_referenced_secret_must_be_there_and_hold_a_key() {
        let wallet = wallet(json!({"networkRef": {"name": "demo"}, "secretRef": {"name": "mine", "key": "seed"}}));
        assert!(matches!(validate(&wallet, Found::default()), Err(Error::NoSecret(name)) if name == "mine"));
        let error = validate(&wallet, Found { secret: Some(secret(1)), ..Found::default() }).unwrap_err();
        assert!(crate::controller::causes(&error).contains("spec.secretRef: Secret alice has nothing under `seed`"));
    }

    #[test]
    fn what_the_api_server_cannot_refuse_is_told_by_its_field() {
        for (case, wallet, says) in crate::testing::wrong::<Wallet>() {
            let said = validate(&wallet, Found::default()).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(said.starts_with(&says), "{case}: {said}");
        }
    }

    #[test]
    fn funding_counts_what_is_bonded() {
        let wallet = wallet(json!({
            "networkRef": {"name": "demo"}, "fundFrom": {"walletRef": {"name": "bank"}, "amount": "450"},
        }));
        let node = crate::testing::node(json!({"stake": "400", "unbonding": [{"amount": "10", "until": 5}]}));
        let account = crate::testing::account("15");
        let missing = |account, nodes| {
            let found = Found { secret: Some(secret(1)), account, nodes, ..Found::default() };
            validate(&wallet, found).unwrap().funding.unwrap().missing.to_string()
        };
        assert_eq!(missing(None, vec![]), "450");
        assert_eq!(missing(Some(account), vec![node.clone()]), "0", "a few fees are missing");
        assert_eq!(missing(None, vec![node]), "0");
        assert_eq!(missing(Some(crate::testing::account("100")), vec![]), "350");
    }

    #[test]
    fn who_pays_is_of_the_same_network() {
        let wallet = wallet(json!({
            "networkRef": {"name": "demo"}, "fundFrom": {"walletRef": {"name": "bank"}, "amount": "1"},
        }));
        let mut payer = plain();
        payer.spec.network_ref.name = "other".to_owned();
        let found = Found { secret: Some(secret(1)), payer: Some(payer), ..Found::default() };
        assert!(matches!(validate(&wallet, found), Err(Error::OtherNetwork { .. })));
    }
}

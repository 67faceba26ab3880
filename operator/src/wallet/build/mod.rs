//! What a Wallet owns in the cluster: a Secret, if its key is new.

mod secret;

use super::validate::Checked;
use k8s_openapi::api::core::v1::Secret;
use valo_crds::Wallet;

/// What is to be brought into the cluster.
#[derive(Debug)]
pub struct Prepared {
    /// The Secret with a new key.
    pub secret: Option<Secret>,
}

/// Builds it all.
pub fn build(wallet: &Wallet, checked: &Checked) -> Prepared {
    Prepared { secret: checked.is_new.then(|| secret::build(wallet, &checked.key)) }
}

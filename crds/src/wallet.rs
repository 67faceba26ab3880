//! Wallet: an owner's account, and the Secret with the key that signs for it.

use crate::common::{Condition, LocalReference, SecretKeyRef, conditions, moment};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};
use valo_contract::quantity::Money;

/// An owner's account on a chain. The operator signs grants, bonds and jobs with its key, which is only in the Secret.
#[derive(Debug, Clone, PartialEq, Eq, CustomResource, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "valo.network",
    version = "v1alpha1",
    kind = "Wallet",
    namespaced,
    status = "WalletStatus",
    derive = "PartialEq",
    category = "valo",
    shortname = "vwallet",
    doc = "An owner's account on a chain, and the Secret with its key.",
    validation = Rule::new("!has(self.spec.fundFrom) || self.spec.fundFrom.walletRef.name != self.metadata.name").message("spec.fundFrom.walletRef.name: a Wallet cannot be filled from itself").field_path(".spec.fundFrom.walletRef.name"),
    printcolumn(name = "Network", type_ = "string", json_path = ".spec.networkRef.name"),
    printcolumn(name = "Account", type_ = "string", json_path = ".status.account"),
    printcolumn(name = "Balance", type_ = "string", json_path = ".status.balance"),
    printcolumn(name = "Stake", type_ = "string", json_path = ".status.stake"),
    printcolumn(name = "Unbonding", type_ = "string", json_path = ".status.unbondingTotal"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.secretRef) == has(oldSelf.secretRef)").message("spec.secretRef: a wallet keeps its key; make another Wallet").field_path(".secretRef"))]
pub struct WalletSpec {
    /// The Network whose chain the account is on.
    #[x_kube(validation = ("self == oldSelf", "spec.networkRef is immutable: an account is of one chain"))]
    #[x_kube(validation = Rule::new("self.name.size() <= 58").message("spec.networkRef.name: a Network has a name of at most 58 characters").field_path(".name"))]
    pub network_ref: LocalReference,
    /// The Secret with the key. Without it a key is generated, into a Secret of the Wallet's name that outlives the
    /// Wallet: what the key owns is lost with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = ("self == oldSelf", "spec.secretRef is immutable: a wallet keeps its key; make another Wallet"))]
    pub secret_ref: Option<SecretKeyRef>,
    /// From where the account is opened, and filled up when it falls below `amount`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fund_from: Option<FundFrom>,
}

/// A transfer from another wallet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FundFrom {
    /// The Wallet that pays, of the same namespace and network.
    pub wallet_ref: LocalReference,
    /// VALO that the account is opened with, and filled up to, such as `"450"` or `"0.5"`.
    #[x_kube(validation = ("double(self) > 0.0", "spec.fundFrom.amount: it must be more than 0"))]
    pub amount: Money,
}

/// What is known of the account.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct WalletStatus {
    /// The generation of the spec that this is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The account's number, 8 characters of base32; absent until it is on the chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The public key, 64 hexadecimal characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
    /// The Secret that holds the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretKeyRef>,
    /// VALO it can spend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balance: Option<Money>,
    /// VALO bonded for nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stake: Option<Money>,
    /// VALO that is being unbonded: still slashable, and can be taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unbonding_total: Option<Money>,
    /// What is being unbonded, in order of payment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unbonding: Vec<Unbonding>,
    /// The height at which all this was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub height: Option<i64>,
    /// `Ready`: the account is on the chain. `Funded`: it holds what `fundFrom` says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
}

/// Stake on its way back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Unbonding {
    /// The node it stood behind, by its number.
    #[schemars(range(min = 0))]
    pub node: i64,
    /// VALO.
    pub amount: Money,
    /// When it is paid, in block time.
    #[schemars(schema_with = "moment")]
    pub paid_at: Time,
}

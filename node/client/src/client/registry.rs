//! Accounts, validators, nodes, tiers, groups.

use super::{Client, Query, page_query};
use crate::{
    error::ClientError,
    types::{
        Account, AccountReference, Assignments, Group, Node, NodeReference, Page, PageRequest, TierInfo, Validators,
    },
};

impl Client {
    /// Accounts in order of their numbers.
    pub async fn accounts(&self, page: &PageRequest) -> Result<Page<Account>, ClientError> {
        self.get("v1/accounts", &page_query(page)).await
    }

    /// An account by number or key.
    pub async fn account(&self, account: impl Into<AccountReference>) -> Result<Account, ClientError> {
        self.get(&format!("v1/accounts/{}", account.into()), &Query::new()).await
    }

    /// The validators of the next height.
    pub async fn validators(&self) -> Result<Validators, ClientError> {
        self.get("v1/validators", &Query::new()).await
    }

    /// Nodes in order of their numbers.
    pub async fn nodes(&self, page: &PageRequest) -> Result<Page<Node>, ClientError> {
        self.get("v1/nodes", &page_query(page)).await
    }

    /// A node by number or key.
    pub async fn node(&self, node: impl Into<NodeReference>) -> Result<Node, ClientError> {
        self.get(&format!("v1/nodes/{}", node.into()), &Query::new()).await
    }

    /// All tiers.
    pub async fn tiers(&self) -> Result<Page<TierInfo>, ClientError> {
        self.get("v1/tiers", &Query::new()).await
    }

    /// The sharding groups of the present epoch.
    pub async fn groups(&self) -> Result<Page<Group>, ClientError> {
        self.get("v1/groups", &Query::new()).await
    }

    /// What a node has been drawn for.
    pub async fn assignments_of(&self, node: impl Into<NodeReference>) -> Result<Assignments, ClientError> {
        self.get(&format!("v1/nodes/{}/assignments", node.into()), &Query::new()).await
    }

    /// What this node has been drawn for.
    pub async fn assignments(&self) -> Result<Assignments, ClientError> {
        self.get("v1/worker/assignments", &Query::new()).await
    }
}

//! What may be disrupted, by `kubectl drain` for example.

use super::{labels, selector};
use crate::{
    node_tier::{power, validate::Power},
    owned,
};
use k8s_openapi::{
    api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};
use kube::ResourceExt;
use valo_crds::{NodeTier, Role};

/// How many nodes may be down at a time.
pub fn may_be_down(tier: &NodeTier, power: &Power) -> usize {
    match tier.spec.role {
        Role::Validator => power::may_be_down(power.total, &power.own, power.others_down, power.sharers),
        Role::Worker | Role::Full => 1,
    }
}

/// Builds it: of validators what consensus can lose, of others one at a time.
pub fn build(tier: &NodeTier, power: &Power) -> PodDisruptionBudget {
    let most = may_be_down(tier, power);
    PodDisruptionBudget {
        metadata: owned::metadata(tier, tier.name_any(), labels(tier)),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(i32::try_from(most).unwrap_or(i32::MAX))),
            selector: Some(LabelSelector { match_labels: Some(selector(tier)), match_expressions: None }),
            // Without a quorum no validator is ready, and each that is evicted makes it worse.
            unhealthy_pod_eviction_policy: Some("IfHealthyBudget".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        status: None,
    }
}

//! ConsensusKeyReservation: at most one pod of the cluster signs with a consensus key.
//!
//! The name is a hash of chain and key, and nothing in a reservation can change: whoever wants the key second meets the
//! first one's reservation under the only name there is, decided by the API server. Reservations are read from it
//! directly, once a pass, never from a cache. One is released only when its pod is proved absent: the chain has let the node go, the
//! StatefulSet has been told not to run it, and the API server knows no pod of that name.

use crate::{Context, cluster::ClusterError, names};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, PostParams, Preconditions},
};
use valo_crds::{ConsensusKeyReservation, ConsensusKeyReservationSpec, Holder, NodeTier};
use valo_protocol::{BlobHash, GenesisHash, PublicKey};

/// Whose a key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// The pod that asked.
    Ours,
    /// Another pod.
    Of(Holder),
}

/// The name of the reservation of a key.
pub fn name(genesis: &GenesisHash, key: &PublicKey) -> String {
    let mut bytes = b"valo/reservation/1".to_vec();
    bytes.extend_from_slice(genesis.as_bytes());
    bytes.extend_from_slice(&key.0);
    BlobHash::of(&bytes).to_string()
}

/// The reservation of a key for a pod.
pub fn build(tier: &NodeTier, ordinal: i32, genesis: &GenesisHash, key: &PublicKey) -> ConsensusKeyReservation {
    let holder = Holder {
        namespace: names::namespace_of(tier),
        node_tier: tier.name_any(),
        node_tier_uid: tier.uid().unwrap_or_default(),
        pod: names::pod(&tier.name_any(), ordinal),
    };
    let spec = ConsensusKeyReservationSpec { genesis_hash: genesis.to_string(), public_key: key.to_string(), holder };
    let mut reservation = ConsensusKeyReservation::new(&name(genesis, key), spec);
    reservation.metadata.labels = Some(names::labels(&[(names::NODE_TIER, &tier.name_any())]));
    reservation
}

/// The reservation of a key, if there is one.
pub async fn read(
    context: &Context,
    genesis: &GenesisHash,
    key: &PublicKey,
) -> Result<Option<ConsensusKeyReservation>, ClusterError> {
    let api: Api<ConsensusKeyReservation> = Api::all(context.cluster.client.clone());
    let name = name(genesis, key);
    api.get_opt(&name).await.map_err(|error| ClusterError::new::<ConsensusKeyReservation>("read", &name, error))
}

/// Takes a key for a pod, or says whose it is. `read` is the reservation as this pass has read it: while it is there,
/// nothing but this pass gives it back. Where there was none, the API server decides who is first.
pub async fn claim(
    context: &Context,
    wanted: &ConsensusKeyReservation,
    read: Option<&ConsensusKeyReservation>,
) -> Result<Claim, ClusterError> {
    if let Some(found) = read {
        return Ok(decide(wanted, found));
    }
    let api: Api<ConsensusKeyReservation> = Api::all(context.cluster.client.clone());
    let name = wanted.name_any();
    let failed = |verb, error| ClusterError::new::<ConsensusKeyReservation>(verb, &name, error);
    let params = PostParams { field_manager: Some(names::MANAGER.to_owned()), ..PostParams::default() };
    let found = match api.create(&params, wanted).await {
        Err(kube::Error::Api(status)) if status.code == 409 => {
            api.get(&name).await.map_err(|error| failed("read", error))?
        }
        made => made.map_err(|error| failed("create", error))?,
    };
    Ok(decide(wanted, &found))
}

/// Whose a key is, by the reservation that is there. One on its way out is nobody's until it is gone.
fn decide(wanted: &ConsensusKeyReservation, found: &ConsensusKeyReservation) -> Claim {
    let is_leaving = found.metadata.deletion_timestamp.is_some();
    if found.spec == wanted.spec && !is_leaving { Claim::Ours } else { Claim::Of(found.spec.holder.clone()) }
}

/// Gives a key back, if it is held by that very pod. The caller has proved the pod absent.
pub async fn release(context: &Context, held: &ConsensusKeyReservation) -> Result<bool, ClusterError> {
    let api: Api<ConsensusKeyReservation> = Api::all(context.cluster.client.clone());
    let name = held.name_any();
    let failed = |verb, error| ClusterError::new::<ConsensusKeyReservation>(verb, &name, error);
    let found = api.get_opt(&name).await.map_err(|error| failed("read", error))?;
    let Some(found) = found.filter(|found| found.spec == held.spec) else { return Ok(false) };
    let params = DeleteParams {
        preconditions: Some(Preconditions { uid: found.uid(), ..Preconditions::default() }),
        ..DeleteParams::default()
    };
    match api.delete(&name, &params).await {
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(false),
        deleted => deleted.map(|_| true).map_err(|error| failed("delete", error)),
    }
}

/// Gives back whatever a NodeTier held whose pods are all proved absent: also for keys whose Secrets are gone.
pub async fn release_all(context: &Context, tier: &NodeTier) -> Result<(), ClusterError> {
    let api: Api<ConsensusKeyReservation> = Api::all(context.cluster.client.clone());
    let own = ListParams::default().labels(&names::selector(&[(names::NODE_TIER, &tier.name_any())]));
    let list = api.list(&own).await.map_err(|error| ClusterError::new::<ConsensusKeyReservation>("list", "", error))?;
    for held in list.items.iter().filter(|held| Some(&held.spec.holder.node_tier_uid) == tier.metadata.uid.as_ref()) {
        release(context, held).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tier(name: &str, uid: &str) -> NodeTier {
        serde_json::from_value(json!({
            "apiVersion": "valo.network/v1alpha1", "kind": "NodeTier",
            "metadata": {"name": name, "namespace": "valo", "uid": uid},
            "spec": {"networkRef": {"name": "demo"}, "role": "validator",
                     "stake": {"perNode": "1", "walletRef": {"name": "alice"}}},
        }))
        .unwrap()
    }

    #[test]
    fn one_key_of_one_chain_has_one_name() {
        let (chain, other) = (GenesisHash([1; 32]), GenesisHash([2; 32]));
        let (key, another) = (PublicKey([3; 32]), PublicKey([4; 32]));
        assert_eq!(name(&chain, &key), name(&chain, &key));
        assert_ne!(name(&chain, &key), name(&other, &key), "on another chain it signs other things");
        assert_ne!(name(&chain, &key), name(&chain, &another));
        insta::assert_yaml_snapshot!(build(&tier("validators", "u-1"), 0, &chain, &key));
    }

    #[test]
    fn a_key_is_of_the_pod_that_came_first() {
        let (chain, key) = (GenesisHash([1; 32]), PublicKey([3; 32]));
        let first = build(&tier("validators", "u-1"), 0, &chain, &key);
        assert_eq!(decide(&first, &first.clone()), Claim::Ours);
        // A copied Secret, another pod of the tier, and a tier of the same name that was made anew.
        for second in [
            build(&tier("copies", "u-2"), 0, &chain, &key),
            build(&tier("validators", "u-1"), 1, &chain, &key),
            build(&tier("validators", "u-3"), 0, &chain, &key),
        ] {
            assert_eq!(decide(&second, &first), Claim::Of(first.spec.holder.clone()));
        }
    }
}

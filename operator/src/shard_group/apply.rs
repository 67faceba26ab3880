//! Brings the objects into the cluster, and takes away those of groups that are no more.

use super::{Error, dereference::Found};
use crate::Context;
use kube::ResourceExt;
use valo_crds::{ShardGroup, ShardGroupStatus};

/// Applies what was built.
pub async fn apply(
    context: &Context,
    found: &Found,
    prepared: Vec<(ShardGroup, ShardGroupStatus)>,
) -> Result<(), Error> {
    for (object, status) in &prepared {
        let applied = context.cluster.apply(object).await?;
        context.cluster.apply_status(&applied, applied.status.as_ref(), status).await?;
    }
    let kept = |shown: &&ShardGroup| prepared.iter().any(|(object, _)| object.name_any() == shown.name_any());
    for gone in found.shown.iter().filter(|shown| !kept(shown)) {
        context.cluster.delete(gone).await?;
    }
    Ok(())
}

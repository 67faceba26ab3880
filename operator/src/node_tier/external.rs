//! The Services by which the world reaches nodes. One that is made anew asks for the node ports of the one before: who dials
//! them has them from the chain, or wrote them down as seeds.

use crate::{Context, addresses::NodePorts, cluster::ClusterError, names::reference};
use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;
use valo_crds::NodeTier;

/// Applies a Service. Node ports that are somebody else's by now are left to the cluster, and an event says so.
pub async fn apply(context: &Context, tier: &NodeTier, service: &Service) -> Result<(), ClusterError> {
    let asked = NodePorts::of(service);
    let tries =
        [asked, NodePorts { network: None, ..asked }, NodePorts { consensus: None, ..asked }, NodePorts::default()];
    let mut last = None;
    for ports in tries {
        if last == Some(ports) {
            continue;
        }
        match context.cluster.apply(&with(service, ports)).await {
            Err(error) if error.is_status(422) && ports != NodePorts::default() => last = Some(ports),
            Err(error) => return Err(error),
            Ok(made) => {
                if ports != asked {
                    let note = moved(&service.name_any(), asked, NodePorts::of(&made));
                    context.warn(&reference(tier), "NodePortTaken", "Reconcile", note).await;
                }
                return Ok(());
            }
        }
    }
    Ok(())
}

/// A Service with these node ports and no others.
fn with(service: &Service, node_ports: NodePorts) -> Service {
    let mut service = service.clone();
    for port in service.spec.iter_mut().flat_map(|spec| &mut spec.ports).flatten() {
        port.node_port = match port.name.as_deref() {
            Some("consensus") => node_ports.consensus,
            Some("network") => node_ports.network,
            _ => None,
        };
    }
    service
}

fn moved(name: &str, asked: NodePorts, has: NodePorts) -> String {
    let text = |ports: NodePorts| {
        let port = |port: Option<i32>| port.map_or_else(|| "one to come".to_owned(), |port| port.to_string());
        format!("{} (TCP) and {} (UDP)", port(ports.consensus), port(ports.network))
    };
    format!(
        "Service {name} was reached by node ports {}, which are not free any more; it has {}. The chain is told; who names \
         the old ones in spec.join needs status.seeds and status.peers of the Network",
        text(asked),
        text(has),
    )
}

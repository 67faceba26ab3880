//! What the other tests take for granted of the cluster. `testbed/smoke` proves much more, when the testbed changes.

use crate::harness::Namespace;
use anyhow::ensure;

/// A node without power is missed, and is of use again once it has some.
pub fn a_node_loses_power_and_comes_back(namespace: &Namespace) -> anyhow::Result<()> {
    let cluster = namespace.cluster();
    let nodes = namespace.get("nodes", "{.items[*].metadata.name}")?;
    let Some(last) = nodes.split(' ').next_back().filter(|last| *last != "node-1") else {
        anyhow::bail!("one node is too few: say VALO_NODES=3");
    };
    cluster.kill(last)?;
    namespace.wait(&format!("node/{last}"), "condition=Ready=Unknown", 60)?;
    cluster.restart(last)?;
    namespace.wait(&format!("node/{last}"), "condition=Ready", 60)?;
    // And pods run there again.
    run_on(namespace, last)
}

fn run_on(namespace: &Namespace, node: &str) -> anyhow::Result<()> {
    let image = namespace.cluster().image("node")?;
    let pod = super::images::pod(
        "afterwards",
        image,
        &["--version"],
        &format!("nodeSelector: {{kubernetes.io/hostname: {node}}}"),
    );
    namespace.apply(&pod)?;
    namespace.wait("pod/afterwards", "jsonpath={.status.phase}=Succeeded", 60)?;
    let ran = namespace.get("pod/afterwards", "{.spec.nodeName}")?;
    ensure!(ran == node, "it ran on {ran}");
    Ok(())
}

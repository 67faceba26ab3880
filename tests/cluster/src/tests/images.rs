//! The images, as hardened clusters run them.

use crate::harness::Namespace;
use anyhow::ensure;

const PRIMES: &str = "examples/primes";

/// A pod as the restricted level of Pod Security wants it, with nothing to write to but /data. A
/// ConfigMap `job` is at /job.
pub fn pod(name: &str, image: &str, arguments: &[&str], more: &str) -> String {
    format!(
        "
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  restartPolicy: Never
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: 5
  securityContext: {{runAsNonRoot: true, fsGroup: 65532, seccompProfile: {{type: RuntimeDefault}}}}
  volumes: [{{name: data, emptyDir: {{}}}}, {{name: job, configMap: {{name: job, optional: true}}}}]
  {more}
  containers:
  - name: main
    image: {image}
    imagePullPolicy: Never
    args: {arguments:?}
    env: [{{name: VALO_HOME, value: /data/valo}}]
    volumeMounts: [{{name: data, mountPath: /data}}, {{name: job, mountPath: /job}}]
    securityContext: {{readOnlyRootFilesystem: true, allowPrivilegeEscalation: false, capabilities: {{drop: [ALL]}}}}
"
    )
}

pub fn the_node_runs_restricted(namespace: &Namespace) -> anyhow::Result<()> {
    namespace.apply(&pod("version", namespace.cluster().image("node")?, &["--version"], ""))?;
    namespace.wait("pod/version", "jsonpath={.status.phase}=Succeeded", 60)?;
    let said = namespace.kubectl(&["logs", "version"])?;
    ensure!(said == concat!("valo ", env!("CARGO_PKG_VERSION")), "valo --version said {said:?}");
    Ok(())
}

/// Databases, sockets, blobs and sandboxes do with what such a pod has.
pub fn a_network_computes_restricted(namespace: &Namespace) -> anyhow::Result<()> {
    let files = ["job.yaml", "primes.wasm"].map(|name| format!("--from-file={PRIMES}/{name}"));
    namespace.kubectl(&["create", "configmap", "job", &files[0], &files[1]])?;
    let arguments = ["dev", "--validators", "1", "--workers", "3", "--tiers", "small", "--home", "/data/network"];
    namespace.apply(&pod("network", namespace.cluster().image("node")?, &arguments, ""))?;
    namespace.wait("pod/network", "condition=Ready", 60)?;
    let valo = |arguments: &[&str]| namespace.kubectl(&[&["exec", "network", "--", "valo"], arguments].concat());
    namespace.until("the network answers", 60, || Ok(valo(&["account", "show"]).is_ok()))?;
    let watched = valo(&["--yes", "job", "submit", "/job/job.yaml", "--watch"])?;
    ensure!(watched.contains("Phase   accepted"), "{watched}");
    // Fails unless all that it checks is right.
    valo(&["verify", "1"]).map(drop)
}

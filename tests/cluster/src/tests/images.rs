//! The images, as hardened clusters run them.

use crate::harness::Namespace;
use anyhow::ensure;

/// A pod as the restricted level of Pod Security wants it, with its root file system read-only.
pub fn pod(name: &str, image: &str, arguments: &[&str], more: &str) -> String {
    format!(
        "
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  restartPolicy: Never
  automountServiceAccountToken: false
  securityContext: {{runAsNonRoot: true, seccompProfile: {{type: RuntimeDefault}}}}
  {more}
  containers:
  - name: main
    image: {image}
    imagePullPolicy: Never
    args: {arguments:?}
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

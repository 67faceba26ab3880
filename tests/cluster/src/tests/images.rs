//! The images, as hardened clusters run them.

use crate::harness::Namespace;
use anyhow::ensure;

pub fn the_node_runs_restricted(namespace: &Namespace) -> anyhow::Result<()> {
    let image = namespace.cluster().image("node")?;
    namespace.apply(&format!(
        r#"
apiVersion: v1
kind: Pod
metadata: {{name: version}}
spec:
  restartPolicy: Never
  automountServiceAccountToken: false
  securityContext: {{runAsNonRoot: true, seccompProfile: {{type: RuntimeDefault}}}}
  containers:
  - name: valo
    image: {image}
    imagePullPolicy: Never
    args: [--version]
    securityContext: {{readOnlyRootFilesystem: true, allowPrivilegeEscalation: false, capabilities: {{drop: [ALL]}}}}
"#
    ))?;
    namespace.wait("pod/version", "jsonpath={.status.phase}=Succeeded", 60)?;
    let said = namespace.kubectl(&["logs", "version"])?;
    ensure!(said == concat!("valo ", env!("CARGO_PKG_VERSION")), "valo --version said {said:?}");
    Ok(())
}

# The configuration of every component, and the objects that every cluster has.

write_control() {
  mkdir -p "$RUN"/{pki,control,volumes,log,pid}
  write_identities
  # Names outside the cluster do not exist: nothing here reaches the internet.
  cat >"$RUN/control/Corefile" <<K
cluster.local in-addr.arpa ip6.arpa {
  bind $NET.1
  errors
  ready 127.0.0.1:8181
  kubernetes cluster.local in-addr.arpa ip6.arpa {
    kubeconfig $RUN/admin.kubeconfig
    pods insecure
  }
}
. {
  bind $NET.1
  template ANY ANY . {
    rcode NXDOMAIN
  }
}
K
}

write_node() { # I
  mkdir -p "$RUN/node-$1/cni"
  write_node_identity "$1"
  write_network "$1"
  write_containerd "$1"
  write_kubelet "$1"
  write_proxy "$1"
  make_cgroup "$ID/node-$1"
}

# No masquerade: pods keep their addresses everywhere, and have no way out.
write_network() { # I
  cat >"$RUN/node-$1/cni/10-valo.conflist" <<K
{"cniVersion": "0.4.0", "name": "valo", "plugins": [
  {"type": "bridge", "bridge": "pods", "isGateway": true, "hairpinMode": true,
   "ipam": {"type": "host-local", "dataDir": "/run/cni", "ranges": [[{"subnet": "$PODS.$1.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
K
  : >"$RUN/node-$1/resolv.conf"
}

write_containerd() { # I
  # restrict_oom_score_adj: lowering a score needs CAP_SYS_RESOURCE, which may be missing.
  cat >"$RUN/node-$1/containerd.toml" <<K
version = 2
root = "/run/machine/containerd"
state = "/run/containerd"
oom_score = 0
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing",
]
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "valo.test/pause:1"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "/run/machine/cni"
K
}

write_kubelet() { # I
  local node=node-$1
  cat >"$RUN/$node/kubelet.yaml" <<K
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $RUN/pki/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $RUN/pki/$node.crt
tlsPrivateKeyFile: $RUN/pki/$node.key
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: /$ID/$node
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
enforceNodeAllocatable: []
evictionHard: {}
imageGCHighThresholdPercent: 100   # never collect the loaded images
localStorageCapacityIsolation: false
clusterDNS: [$DNS]
clusterDomain: cluster.local
resolvConf: /run/machine/resolv.conf
podLogsDir: /run/machine/podlogs
maxPods: 200
eventRecordQPS: 0
K
}

write_proxy() { # I
  # conntrack zeros: the table's size belongs to the host and cannot be set here.
  cat >"$RUN/node-$1/proxy.yaml" <<K
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {kubeconfig: $RUN/proxy.kubeconfig}
mode: iptables
hostnameOverride: node-$1
clusterCIDR: $PODS.0.0/16
oomScoreAdj: 0
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
iptables: {minSyncPeriod: 200ms}
K
}

objects() { # what every cluster has, beyond what the API server makes itself
  cat <<K
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: valo:kube-proxy}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: system:node-proxier}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: system:kube-proxy}]
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: shared, annotations: {storageclass.kubernetes.io/is-default-class: "true"}}
provisioner: valo.test/shared
reclaimPolicy: Delete
volumeBindingMode: Immediate
---
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system}
spec: {clusterIP: $DNS, ports: [{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53, protocol: TCP}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: kube-dns, namespace: kube-system, labels: {kubernetes.io/service-name: kube-dns}}
addressType: IPv4
endpoints: [{addresses: ["$NET.1"]}]
ports: [{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53, protocol: TCP}]
K
}

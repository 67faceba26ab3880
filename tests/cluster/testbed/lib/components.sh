# What runs: how each component is started, and when it is well.

components() {
  printf '%s\n' etcd kube-apiserver kube-controller-manager kube-scheduler coredns provisioner
  local i
  for i in $(nodes); do printf '%s\n' node-"$i" node-"$i"/{containerd,policy,kubelet,kube-proxy}; done
}

launch() { # COMPONENT
  local node=${1%%/*} i=${1#node-}
  i=${i%%/*}
  case $1 in
    etcd) start control etcd "$TOOLS/etcd" --data-dir "$RUN/control/etcd" --unsafe-no-fsync --log-level warn \
      --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
      --listen-peer-urls http://127.0.0.1:2380 ;;
    kube-apiserver) launch_apiserver ;;
    kube-controller-manager) launch_manager ;;
    kube-scheduler) start control "$1" "$TOOLS/$1" --kubeconfig="$RUN/scheduler.kubeconfig" --leader-elect=false \
      --authentication-kubeconfig="$RUN/scheduler.kubeconfig" --authorization-kubeconfig="$RUN/scheduler.kubeconfig" \
      --kube-api-qps=200 --kube-api-burst=400 ;;
    coredns) start control coredns "$TOOLS/coredns" -conf "$RUN/control/Corefile" ;;
    provisioner) start control provisioner "$TOOLS/provisioner" -kubeconfig "$RUN/admin.kubeconfig" -root /run/volumes ;;
    node-*/containerd) start "$node" "$1" env PATH="$TOOLS:$PATH" containerd -c /run/machine/containerd.toml ;;
    node-*/kubelet) start "$node" "$1" "$TOOLS/kubelet" --kubeconfig="$RUN/$node.kubeconfig" \
      --config=/run/machine/kubelet.yaml --root-dir=/run/machine/kubelet --node-ip=$NET.$((10 + i)) \
      --node-labels=topology.kubernetes.io/zone=zone-"$i" ;;
    node-*/kube-proxy) start "$node" "$1" "$TOOLS/kube-proxy" --config=/run/machine/proxy.yaml ;;
    node-*/policy) start "$node" "$1" "$TOOLS/policy" -kubeconfig "$RUN/admin.kubeconfig" -node "$node" -dns $NET.1 ;;
    node-*) launch_node "$i" ;;
    *) die "no component $1" ;;
  esac
}

launch_apiserver() {
  local pki=$RUN/pki
  start control kube-apiserver "$TOOLS/kube-apiserver" \
    --etcd-servers=http://127.0.0.1:2379 --advertise-address=$NET.1 --secure-port=6443 \
    --client-ca-file="$pki/ca.crt" --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" \
    --kubelet-certificate-authority="$pki/ca.crt" --kubelet-preferred-address-types=InternalIP \
    --kubelet-client-certificate="$pki/kubelet-client.crt" --kubelet-client-key="$pki/kubelet-client.key" \
    --service-account-issuer=https://kubernetes.default.svc --service-account-key-file="$pki/sa.pub" \
    --service-account-signing-key-file="$pki/sa.key" --service-cluster-ip-range=$SERVICES \
    --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --allow-privileged=true \
    --requestheader-client-ca-file="$pki/ca.crt" --requestheader-allowed-names=front-proxy \
    --requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group \
    --requestheader-extra-headers-prefix=X-Remote-Extra- --enable-aggregator-routing=true \
    --proxy-client-cert-file="$pki/front-proxy.crt" --proxy-client-key-file="$pki/front-proxy.key" \
    --default-not-ready-toleration-seconds=10 --default-unreachable-toleration-seconds=10
}

launch_manager() {
  local pki=$RUN/pki config=$RUN/manager.kubeconfig
  start control kube-controller-manager "$TOOLS/kube-controller-manager" --kubeconfig="$config" \
    --authentication-kubeconfig="$config" --authorization-kubeconfig="$config" \
    --use-service-account-credentials=true --service-account-private-key-file="$pki/sa.key" \
    --root-ca-file="$pki/ca.crt" --cluster-signing-cert-file="$pki/ca.crt" --cluster-signing-key-file="$pki/ca.key" \
    --leader-elect=false --node-monitor-grace-period=25s --kube-api-qps=200 --kube-api-burst=400
}

launch_node() { # I: boot the machine, wire it to the others, start its four processes
  local node=node-$1
  [ -d "$RUN/$node" ] || die "no component $node"
  boot "$node"
  wire_node "$1"
  launch "$node/containerd"
  await "$node/containerd"
  launch "$node/policy"
  launch "$node/kubelet"
  launch "$node/kube-proxy"
}

wire_node() { # I: a cable to the control plane's switch, and routes to the pods of the others
  local i=$1 node=node-$1 other
  ! inside "$node" ip link show eth0 >/dev/null 2>&1 || return 0
  inside control ip link del "$node" 2>/dev/null || true   # of its last life
  nsenter -t "$(pid_of control)" -n ip link add "$node" type veth peer name eth0 netns "$(pid_of "$node")"
  inside control ip link set "$node" master switch up
  inside "$node" ip addr add $NET.$((10 + i))/24 dev eth0
  inside "$node" ip link set eth0 up
  inside "$node" ip route add default via $NET.1
  for other in $(nodes); do
    [ "$other" = "$i" ] || inside "$node" ip route add $PODS."$other".0/24 via $NET.$((10 + other))
  done
}

wire_host() { # the host's one interface, by which it reaches the API server, the pods and the services
  local i
  ! ip link show valo-host >/dev/null 2>&1 || return 0
  inside control ip link add switch type bridge 2>/dev/null || true
  inside control ip addr replace $NET.1/24 dev switch
  inside control ip link set switch up
  ip link add valo-host type veth peer name host netns "$(pid_of control)"
  inside control ip link set host master switch up
  ip addr add $NET.254/24 dev valo-host
  ip link set valo-host up
  ip route add $PODS.0.0/16 via $NET.1
  ip route add $SERVICES via $NET.11          # any kube-proxy will do
  for i in $(nodes); do inside control ip route replace $PODS."$i".0/24 via $NET.$((10 + i)); done
}

await() { # COMPONENT: until it says that it is well
  local machine=control url
  case $1 in
    etcd) url=http://127.0.0.1:2379/health ;;
    # With our CA, never -k: where the route is missing, a proxy on the way out may answer.
    kube-apiserver)
      until_ok 60 "$1" curl -sf --noproxy '*' --cacert "$RUN/pki/ca.crt" --max-time 2 https://$NET.1:6443/readyz
      return ;;
    kube-controller-manager) url=https://127.0.0.1:10257/healthz ;;
    kube-scheduler) url=https://127.0.0.1:10259/readyz ;;
    coredns) url=http://127.0.0.1:8181/ready ;;
    node-*/kubelet) machine=${1%/*} url=http://127.0.0.1:10248/healthz ;;
    node-*/kube-proxy) machine=${1%/*} url=http://127.0.0.1:10249/healthz ;;
    node-*/containerd) until_ok 20 "$1" inside "${1%/*}" ctr version; return ;;
    node-*/policy) until_ok 20 "$1" inside "${1%/*}" nft list table inet netpol; return ;;
    *) return 0 ;;
  esac
  until_ok 60 "$1" inside "$machine" curl -sfk --noproxy '*' --max-time 2 "$url"
}

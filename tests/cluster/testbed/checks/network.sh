# Names, addresses, and NetworkPolicies.

check_dns() {
  until_ok 20 k exec db-0 -- probe resolve "db-2.db.$ns.svc.cluster.local"
  same "$(k exec db-0 -- probe resolve db-1.db)" "$(k get pod db-1 -o 'jsonpath={.status.podIP}')" "db-1.db"
  same "$(k exec db-0 -- probe resolve db | wc -l)" 3 "addresses of db"
  same "$(k exec db-1 -- probe get http://db-2.db:8080/)" db-2 "pod to pod by name"
  for i in 1 2 3 4 5 6; do k exec db-0 -- probe get http://web/; done | has '^db-' || fail "service address"
  k exec db-0 -- probe resolve example.org 2>/dev/null && fail "resolved a name outside"
  same "$(curl -s --max-time 3 "http://$(k get pod db-2 -o 'jsonpath={.status.podIP}'):8080/")" db-2 "host to pod"
  curl -sf --max-time 3 "http://$(k get service web -o 'jsonpath={.spec.clusterIP}')/" >/dev/null || fail "host to service"
}

# What the checks of NetworkPolicies speak of: the pods server, client and stranger here, and visitor in another namespace.
other=$ns-other

pod() { # NAMESPACE NAME ARG…: of the probe
  local namespace=$1 name=$2 args
  shift 2
  args=$(printf '"%s",' "$@")
  kubectl -n "$namespace" apply -f - >/dev/null <<K
apiVersion: v1
kind: Pod
metadata: {name: $name, labels: {app: $name, smoke: networkpolicy}}
spec:
  terminationGracePeriodSeconds: 0
  restartPolicy: Never
  $pod_security
  containers:
  - name: a
    image: $image
    imagePullPolicy: Never
    args: [$args]
    ports: [{name: web, containerPort: 8080}]
    readinessProbe: {httpGet: {path: /healthz, port: web}, periodSeconds: 1, failureThreshold: 2}
    $ctr_security
K
}

policy() { # NAME SPEC
  k apply -f - >/dev/null <<<"{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: $1}, spec: $2}"
}

seen() { # which of the server's two ports client, stranger, visitor and the host reach
  local who
  for who in client stranger; do k exec $who -- probe reach "$server":808{0,1} >"$work/$who" & done
  kubectl -n "$other" exec visitor -- probe reach "$server":808{0,1} >"$work/visitor" &
  probe reach "$server":808{0,1} >"$work/host"
  wait
  echo $(cat "$work"/{client,stranger,visitor,host})
}

expect() { # WHAT WANT: at the latest by the first look that starts 2 s from now
  local end=$(($(date +%s%N) + 2000000000)) start got
  while start=$(date +%s%N); got=$(seen); [ "$got" != "$2" ]; do
    [ "$start" -lt $end ] || fail "$1: got '$got', want '$2'"
  done
}

start_pods() { # sets their addresses
  kubectl create namespace "$other" >/dev/null
  kubectl label namespace "$other" team=other >/dev/null
  until_ok 20 kubectl -n "$other" get serviceaccount default
  pod "$ns" server serve
  pod "$ns" client serve
  pod "$ns" stranger serve
  pod "$other" visitor serve
  k create service clusterip server --tcp=80:8080 >/dev/null
  k wait --for=condition=Ready pod/{server,client,stranger} --timeout=30s >/dev/null
  kubectl -n "$other" wait --for=condition=Ready pod/visitor --timeout=30s >/dev/null
  server=$(k get pod server -o 'jsonpath={.status.podIP}')
  visitor=$(kubectl -n "$other" get pod visitor -o 'jsonpath={.status.podIP}')
  host=$(ip -o route get "$server" | sed 's/.* src \([0-9.]*\).*/\1/')
}

ingress() {
  local node
  node=$(k get pod server -o 'jsonpath={.spec.nodeName}')
  expect "no policy" "11 11 11 11"
  policy in '{podSelector: {}, policyTypes: [Ingress]}'
  expect "default deny, ingress" "00 00 00 00"
  same "$(k exec client -- probe reach "$visitor:8080")" 1 "egress and replies, under it"
  policy web '{podSelector: {matchLabels: {app: server}}, ingress: [{from: [{podSelector: {matchLabels: {app: client}}}], ports: [{port: web}]}]}'
  expect "a label and a named port" "10 00 00 00"
  policy more '{podSelector: {matchLabels: {app: server}}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: other}}}], ports: [{port: 8081, endPort: 8090}]}]}'
  expect "and a namespace and a range of ports" "10 00 01 00"
  k label pod stranger --overwrite app=client >/dev/null
  expect "a pod's new label" "10 10 01 00"
  kubectl label namespace "$other" team- >/dev/null
  expect "a namespace's lost label" "10 10 00 00"
  "$cluster" kill "$node/policy"
  expect "without the enforcer" "10 10 00 00"
  "$cluster" restart "$node/policy"
  policy more "{podSelector: {matchLabels: {app: server}}, ingress: [{from: [{ipBlock: {cidr: $host/32}}, {ipBlock: {cidr: ${visitor%.*.*}.0.0/16, except: [$(k get pod stranger -o 'jsonpath={.status.podIP}')/32]}}]}]}"
  expect "an updated policy, with address blocks" "11 10 11 11"
}

egress() { # on top of what ingress left
  policy out '{podSelector: {}, policyTypes: [Egress]}'
  expect "default deny, egress" "00 00 11 11"
  policy dns '{podSelector: {}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {app: server}}}]}, {to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}, podSelector: {matchLabels: {k8s-app: kube-dns}}}], ports: [{port: 53, protocol: UDP}]}]}'
  expect "egress to the server and to DNS" "11 10 11 11"
  same "$(k exec client -- probe get http://server/)" server "the server by its service"
  same "$(k exec client -- probe reach "$visitor:8080")" 0 "egress elsewhere"
  pod "$ns" early reach "$server:8080" "$visitor:8080"
  k wait --for=jsonpath='{.status.phase}'=Succeeded pod/early --timeout=30s >/dev/null
  same "$(k logs early)" 10 "a new pod's first act"
}

check_networkpolicy() { # who reaches the server's two ports, 2 s after each change
  local server visitor host before
  ready() { k get pod server -o 'jsonpath={.status.conditions[?(@.type=="Ready")].lastTransitionTime}'; }
  start_pods
  before=$(ready)
  ingress
  egress
  same "$(ready)" "$before" "the kubelet's probes, all the time"
  k delete networkpolicy --all >/dev/null
  expect "no policy again" "11 11 11 11"
  k delete pod -l smoke=networkpolicy --wait=false >/dev/null; k delete service server >/dev/null
  kubectl delete namespace "$other" --wait=false >/dev/null
}

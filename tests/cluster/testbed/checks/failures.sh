# What dies and comes back: components, nodes; and a clean end.

check_kubelet() { # kill -9 and back: pods keep running, and the node works again
  local node restarts; node=$(k get pod db-0 -o 'jsonpath={.spec.nodeName}')
  restarts() { k get pod db-0 -o 'jsonpath={.metadata.uid} {.status.containerStatuses[0].restartCount}'; }
  local before; before=$(restarts)
  "$cluster" kill "$node/kubelet"
  curl -sf --max-time 3 "http://$(k get pod db-0 -o 'jsonpath={.status.podIP}'):8080/" >/dev/null || fail "the pod died with the kubelet"
  k exec db-0 -- probe cat /d/f >/dev/null 2>&1 && fail "exec without a kubelet"
  "$cluster" restart "$node/kubelet"
  until_ok 30 k exec db-0 -- probe cat /d/f
  until_ok 60 k wait --for=condition=Ready --timeout=1s pod/db-0
  same "$(restarts)" "$before" "restarts"
  "$cluster" kill "$node/containerd"; "$cluster" restart "$node/containerd"
  until_ok 60 k exec db-0 -- probe cat /d/f
  same "$(restarts)" "$before" "restarts, after containerd"
}

check_control() { # every other component dies and comes back
  local c
  for c in kube-controller-manager kube-scheduler coredns provisioner kube-apiserver etcd; do
    "$cluster" kill $c; "$cluster" restart $c
  done
  until_ok 60 kubectl get --raw /readyz
  k delete pod db-1 --wait >/dev/null
  until_ok 60 k wait --for=condition=Ready --timeout=1s pod/db-1
  until_ok 30 k exec db-1 -- probe resolve db-0.db
}

check_node() { # a power cut: the pod moves to another node, with its data
  local nodes lost; nodes=$(kubectl get nodes -l '!type' -o name | wc -l)
  [ "$nodes" -gt 1 ] || { echo "skipped, one node"; return; }
  k patch statefulset db --type=json -p '[{"op":"remove","path":"/spec/template/spec/topologySpreadConstraints"}]' >/dev/null
  k rollout status statefulset/db --timeout=120s >/dev/null
  lost=$(k get pod db-0 -o 'jsonpath={.spec.nodeName}')
  "$cluster" kill "$lost"
  until_ok 60 is "node/$lost" '{.status.conditions[?(@.type=="Ready")].status}' Unknown
  # A StatefulSet never starts a second db-0 by itself: someone must say the node is dead.
  kubectl taint node "$lost" node.kubernetes.io/out-of-service=nodeshutdown:NoExecute >/dev/null
  moved() { [ "$(k get pod db-0 -o 'jsonpath={.spec.nodeName}')" != "$lost" ] && k wait --for=condition=Ready --timeout=1s pod/db-0; }
  until_ok 90 moved
  same "$(k exec db-0 -- probe cat /d/f)" kept "file on the claim, elsewhere"
  "$cluster" restart "$lost"
  kubectl taint node "$lost" node.kubernetes.io/out-of-service- >/dev/null
  until_ok 60 kubectl wait --for=condition=Ready --timeout=1s "node/$lost"
}

check_clean() { # the namespace and its volumes go away
  kubectl delete namespace "$ns" --timeout=90s >/dev/null
  until_ok 30 eval '[ -z "$(kubectl get pv -o name)" ]'
}

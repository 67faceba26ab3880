# What workloads rely on: images, claims, restricted pods, scale, budgets, Jobs, probes, streams, ends.

check_image() { # a dynamically linked program, by digest, under the image's own user
  local id; id=$("$pack" -o "$work/id.tar" -n valo.test/id:1 "$(command -v id)")
  "$cluster" load "$work/id.tar"
  k run id --image="$id" --image-pull-policy=IfNotPresent --restart=Never --overrides='{"spec":{"securityContext":{"runAsNonRoot":true,"seccompProfile":{"type":"RuntimeDefault"}},"containers":[{"name":"id","image":"'"$id"'","securityContext":{"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]}}}]}}' >/dev/null
  k wait --for=jsonpath='{.status.phase}'=Succeeded pod/id --timeout=30s >/dev/null
  same "$(k logs id)" "uid=65532(valo) gid=65532(valo) groups=65532(valo)" "id in the pod"
}

check_statefulset() { # claims, restricted security, headless DNS, data that survives
  k apply -f - >/dev/null <<K
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {clusterIP: None, selector: {app: db}, ports: [{port: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: db}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  replicas: 3
  podManagementPolicy: Parallel
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      $pod_security
      topologySpreadConstraints: [{maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app: db}}}]
      containers:
      - name: a
        image: $image
        imagePullPolicy: Never
        $ctr_security
        resources: {limits: {cpu: 200m, memory: 64Mi}}
        readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1}
        livenessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1, failureThreshold: 2}
        volumeMounts: [{name: d, mountPath: /d}]
  volumeClaimTemplates: [{metadata: {name: d}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}]
K
  k rollout status statefulset/db --timeout=60s >/dev/null
  k exec db-0 -- probe write /d/f kept
  k delete pod db-0 --wait >/dev/null
  until_ok 30 k wait --for=condition=Ready --timeout=1s pod/db-0
  same "$(k exec db-0 -- probe cat /d/f)" kept "file on the claim"
  k exec db-0 -- probe write /root-fs x 2>/dev/null && fail "wrote to a read-only root"
  return 0
}

check_serviceaccount() {
  k exec db-0 -- probe api /version | has '"v1.35.4"' || fail "API server by its service"
  k exec db-0 -- probe api "/api/v1/namespaces/$ns/pods" >/dev/null 2>&1 && fail "listed pods without a role"
  k create role reader --verb=list --resource=pods >/dev/null
  k create rolebinding reader --role=reader --serviceaccount="$ns:default" >/dev/null
  until_ok 5 k exec db-0 -- probe api "/api/v1/namespaces/$ns/pods"
}

check_scale() {
  k scale statefulset/db --replicas=5 >/dev/null; until_ok 30 is statefulset/db '{.status.readyReplicas}' 5
  k scale statefulset/db --replicas=3 >/dev/null; until_ok 60 is statefulset/db '{.status.replicas}' 3
}

check_pdb() {
  k create pdb db --selector=app=db --min-available=3 >/dev/null
  until_ok 20 is pdb/db '{.status.disruptionsAllowed} {.status.currentHealthy}' "0 3"
  evict() { kubectl create --raw "/api/v1/namespaces/$ns/pods/$1/eviction" -f - <<<"{\"apiVersion\":\"policy/v1\",\"kind\":\"Eviction\",\"metadata\":{\"name\":\"$1\",\"namespace\":\"$ns\"}}" 2>&1 || true; }
  evict db-1 | has 'disruption budget' || fail "the budget let an eviction through"
  k patch pdb db --type=merge -p '{"spec":{"minAvailable":2}}' >/dev/null
  until_ok 20 is pdb/db '{.status.disruptionsAllowed}' 1
  local uid; uid=$(k get pod db-1 -o 'jsonpath={.metadata.uid}')
  evict db-1 | has Success || fail "the budget blocked an allowed eviction"
  until_ok 30 eval '! is pod/db-1 "{.metadata.uid}" '"$uid"
  k rollout status statefulset/db --timeout=60s >/dev/null
  k delete pdb db >/dev/null
}

check_job() {
  k apply -f - >/dev/null <<K
apiVersion: batch/v1
kind: Job
metadata: {name: j}
spec:
  completions: 6
  parallelism: 3
  completionMode: Indexed
  template:
    spec:
      restartPolicy: Never
      $pod_security
      containers: [{name: a, image: "valo.test/probe:1", args: [index], $ctr_security}]
K
  k wait --for=condition=Complete job/j --timeout=60s >/dev/null
  same "$(k logs -l job-name=j --tail=-1 | sort | tr '\n' ' ')" "index 0 index 1 index 2 index 3 index 4 index 5 " "Indexed Job"
}

check_probe() { # a failing liveness probe restarts the container
  local before; before=$(k get pod db-2 -o 'jsonpath={.status.containerStatuses[0].restartCount}')
  k exec db-2 -- probe get http://127.0.0.1:8080/sicken
  until_ok 30 is pod/db-2 '{.status.containerStatuses[0].restartCount}' $((before + 1))
  until_ok 30 k wait --for=condition=Ready --timeout=1s pod/db-2
}

check_stream() { # logs, exec and port-forward
  k logs db-1 | has serving || fail logs
  same "$(echo hello | k exec -i db-1 -- probe cat /dev/stdin)" hello "exec with input"
  k port-forward pod/db-1 18080:8080 >"$work/forward" 2>&1 & local pid=$!
  until_ok 10 grep -q Forwarding "$work/forward"
  same "$(curl -s --max-time 3 http://127.0.0.1:18080/)" db-1 port-forward
  kill $pid; wait $pid 2>/dev/null || true
}

check_term() { # SIGTERM, then the grace period, then SIGKILL
  local name drain grace
  for name in polite:2s:10 rude:60s:2; do
    IFS=: read -r name drain grace <<<"$name"
    k apply -f - >/dev/null <<K
apiVersion: v1
kind: Pod
metadata: {name: $name}
spec:
  terminationGracePeriodSeconds: $grace
  $pod_security
  containers: [{name: a, image: "$image", env: [{name: DRAIN, value: $drain}], $ctr_security}]
K
    k wait --for=condition=Ready "pod/$name" --timeout=30s >/dev/null
    k logs -f "$name" >"$work/$name" & local logs=$! start=$SECONDS
    until_ok 5 grep -q serving "$work/$name"
    k delete pod "$name" --wait >/dev/null; wait $logs || true
    [ $((SECONDS - start)) -le 8 ] || fail "$name took $((SECONDS - start)) s to go"
  done
  grep -q '^drained' "$work/polite" || fail "killed before it had drained"
  grep -q '^SIGTERM' "$work/rude" && ! grep -q '^drained' "$work/rude" || fail "grace period"
}

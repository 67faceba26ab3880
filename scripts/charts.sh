#!/usr/bin/env bash
# Checks the charts without a cluster: lint, schemas of every object they make, READMEs, and the objects themselves
# against tests/charts. VALO_UPDATE=1 writes READMEs and snapshots anew.
# helm and kubeconform are those of the test cluster; HELM and KUBECONFORM name others.
set -euo pipefail
cd "$(dirname "$0")/.."

tools=${VALO_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/valo}/testbed/tools
helm=${HELM:-$tools/helm} kubeconform=${KUBECONFORM:-$tools/kubeconform}
die() { echo "charts: $*" >&2; exit 1; }
for tool in "$helm" "$kubeconform"; do
  command -v "$tool" >/dev/null ||
    die "there is no $tool: tests/cluster/testbed/cluster build builds it, or name one: HELM=helm KUBECONFORM=kubeconform make charts"
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# A helm that was built without a version takes the cluster for an old one.
render() { "$helm" template "$@" --kube-version 1.33.0; }

# The defaults of a chart as JSON, by helm itself.
defaults() {
  mkdir -p "$work/defaults/templates"
  cp "charts/$1/Chart.yaml" "charts/$1/values.yaml" "$work/defaults/"
  echo '{{ .Values | toJson }}' >"$work/defaults/templates/values.yaml"
  render defaults "$work/defaults" | sed '/^---$/d; /^# Source:/d'
}

# snapshot NAME ARGUMENTS…: what helm template makes is what tests/charts has, and fits the schemas.
snapshot() {
  local name=$1 committed=tests/charts/$1.yaml
  shift
  render "$@" >"$work/$name.yaml" || die "$name: helm template failed"
  "$kubeconform" -strict -schema-location "$work/schemas/{{.ResourceKind}}_{{.ResourceAPIVersion}}.json" \
    "$work/$name.yaml" || die "$name: objects that Kubernetes would refuse"
  # A program is no reading matter.
  sed -i 's/^  primes.wasm: .*/  primes.wasm: (examples\/primes\/primes.wasm)/' "$work/$name.yaml"
  if [ -n "${VALO_UPDATE:-}" ]; then mkdir -p tests/charts && cp "$work/$name.yaml" "$committed"; fi
  diff -u "$committed" "$work/$name.yaml" || die "$name is not $committed: look at it, then VALO_UPDATE=1 make charts"
}

# refused WORDS ARGUMENTS…: helm refuses it and says so.
refused() {
  local words=$1 said
  shift
  if said=$(render "$@" 2>&1 >/dev/null); then die "helm template $* should have failed"; fi
  case $said in *"$words"*) ;; *) die "helm template $* failed without \"$words\": $said" ;; esac
}

# As people call it.
"$helm" lint --quiet charts/* || die "helm lint charts/*"
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
for chart in valo-crds valo-operator valo-cluster; do
  "$helm" lint --strict --quiet "charts/$chart" || die "$chart: lint"
  for field in version appVersion; do
    grep -qx "$field: $version" "charts/$chart/Chart.yaml" || die "$chart: $field is not $version"
  done
  defaults "$chart" | scripts/chart_readme.py "charts/$chart" ${VALO_UPDATE:+--write}
done
cmp examples/primes/primes.wasm charts/valo-cluster/files/primes.wasm || die "valo-cluster has another primes.wasm"
cmp operator/rbac.yaml charts/valo-operator/files/rbac.yaml || die "valo-operator has other rights: make generate"

cargo build --locked --quiet --workspace --bin crdgen
"${CARGO_TARGET_DIR:-target}/debug/crdgen" --schemas "$work/schemas"
hash=sha256:$(printf 0%.0s {1..64})
# Their contents are held by the test of what is generated; the API server reads them in `make cluster-test`.
kept=$(render crds charts/valo-crds | grep -c 'helm.sh/resource-policy: keep') || true
[ "$kept" = 6 ] || die "valo-crds keeps $kept definitions of 6"
! render crds charts/valo-crds --set keep=false | grep -q resource-policy || die "valo-crds keeps what it should not"
snapshot operator valo-operator charts/valo-operator --namespace valo-system
snapshot operator-one-namespace op charts/valo-operator --namespace valo-system --set watchNamespace=demo,replicas=1 \
  --set "image.digest=$hash,nodeImage.digest=$hash" --set 'imagePullSecrets[0].name=pull'
snapshot cluster demo charts/valo-cluster --namespace demo
snapshot cluster-join mine charts/valo-cluster --namespace mine -f charts/valo-cluster/examples/join.yaml \
  --set join.genesisConfigMap=genesis --set ingress.host=api.example.org,externalAddress.type=NodePort,externalAddress.hosts[0]=203.0.113.4,image.repository=example.org/valo

cluster=(demo charts/valo-cluster)
refused "chain.validators[0].count" "${cluster[@]}" --set nodeTiers.validators.replicas=3
refused "there is no nodeTiers.other" "${cluster[@]}" --set-string 'chain.validators[0].nodeTier=other,chain.validators[0].stake=1'
refused "there is no wallets.other" "${cluster[@]}" --set nodeTiers.validators.stake.wallet=other
refused "join.seeds" "${cluster[@]}" --set "join.genesisHash=$(printf ab%.0s {1..32})"
refused "join.peers" "${cluster[@]}" -f charts/valo-cluster/examples/join.yaml --set join.genesisConfigMap=genesis,join.peers=null
refused "nodeTiers.workers.tier: chain.tiers has no tier gpu; it has: small" "${cluster[@]}" --set nodeTiers.workers.tier=gpu
refused "nodeTiers.workers.tier: say one of chain.tiers, which has: small" "${cluster[@]}" --set nodeTiers.workers.tier=null
refused "chain.tiers has no tier small; it has: none" "${cluster[@]}" --set chain.tiers=null
refused "test.tier: chain.tiers has no tier gpu; it has: small" "${cluster[@]}" --set test.tier=gpu
refused "nodeTiers.workers.stake.perSlot: 99.5 VALO is less than the 100 that a slot of tier small takes" \
  "${cluster[@]}" --set-string nodeTiers.workers.stake.perSlot=99.5
refused "nodeTiers.workers.stake.walletTemplate.amount: 199 VALO does not cover the stake of a node, 2 slots of 100 VALO" \
  "${cluster[@]}" --set-string nodeTiers.workers.stake.walletTemplate.amount=199
refused "nodeTiers.validators.stake.perNode: 999 VALO is less than the 1000 that a validator bonds at least" \
  "${cluster[@]}" --set chain.preset=consortium --set-string nodeTiers.validators.stake.perNode=999
refused "nodeTiers.validators.stake.perNode: 1000 VALO is less than the 2000.5 " \
  "${cluster[@]}" --set-string chain.parameters.minValidatorStake=2000.5
refused "chain.validators[0].stake: 1000 VALO is less than the 10000 " \
  "${cluster[@]}" --set chain.preset=public --set-string nodeTiers.validators.stake.perNode=10000
# What only the chain that is joined can say is not guessed.
render mine charts/valo-cluster -f charts/valo-cluster/examples/join.yaml --set test.enabled=false \
  --set nodeTiers.workers.tier=gpu --set-string nodeTiers.workers.stake.perSlot=1 >/dev/null || die "a join takes no tier of elsewhere"
# A wrong value for each kind of field: helm says at which one.
while read -r path wrong; do
  at=${path//\[/.} at=${at//]/}
  refused "at '/${at//.//}" "${cluster[@]}" --set-json "$path=$wrong"
done <<'END'
nameOverride "Demo"
nameOverride "demo.eu"
labels {"tier":1}
image.repository "https://example.org/valo"
image.tag ":0.1.0"
image.digest "sha256:12"
image.pullPolicy "Sometimes"
image.pullSecrets[0].name "Pull_Secret"
image.pullSecrets [{"name":"a"},{"name":"a"}]
chain.name "Demo"
chain.preset "fast"
chain.parameters {"epochs":"5s"}
chain.parameters.epoch "0s"
chain.parameters.minInterval 200
chain.parameters.minValidatorStake "1e3"
chain.parameters.maxValidators 1001
chain.parameters.blockBytes "2MB"
chain.parameters.disjoint "pod"
chain.validators[0].nodeTier "Validators"
chain.validators[0].count 0
chain.validators[0].stake "-1"
chain.validators[0].publicKey "ab"
chain.accounts[0].publicKey "alice"
chain.accounts[0].balance "1.0000000001"
chain.tiers[0].name "Small"
chain.tiers[0].cpu "one"
chain.tiers[0].memory "256MB"
chain.tiers[0].stakePerSlot 100
chain.tiers[0].price "free"
chain.tiers[0].fuelPerSecond 0
chain.tiers[0].isolation "none"
chain.tiers[0].admit[0] "bob"
join.genesisHash "AB"
join.genesisConfigMap "genesis.json/"
join.seeds[0].key "203.0.113.4:7002"
join.seeds[0].addresses[0] "203.0.113.4"
join.peers[0] "203.0.113.4:65536"
join.peers ["203.0.113.4:7001","203.0.113.4:7001"]
wallets.owner.balance "much"
wallets.owner.secretRef.name "owner_key"
wallets.owner.fundFrom.amount "-1"
nodeTiers.workers.role "miner"
nodeTiers.workers.tier "Small"
nodeTiers.workers.replicas -1
nodeTiers.workers.replicas 1.5
nodeTiers.workers.slots 0
nodeTiers.workers.stake.perSlot "1,5"
nodeTiers.workers.stake.wallet "Owner"
nodeTiers.workers.stake.walletTemplate.amount "1000000001"
nodeTiers.workers.resources.limits.memory "2GB"
nodeTiers.workers.resources.requests.cpu -1
nodeTiers.workers.storage.size "0"
nodeTiers.workers.storage.storageClassName "Fast Disks"
nodeTiers.workers.nodeSelector.pool "two words"
nodeTiers.workers.tolerations[0].effect "NoRun"
nodeTiers.workers.runtimeClassName "gVisor"
externalAddress.type "Host"
externalAddress.hosts[0] "203.0.113.4:7001"
externalAddress {"type":"NodePort"}
externalAddress.loadBalancerClass "a class"
ingress.host "http://api.example.org"
ingress.tlsSecretName "Secret"
test.budget "-1"
test.deadline "soon"
test.replicas 14
END
refused "acceleratorClass" "${cluster[@]}" --set nodeTiers.workers.acceleratorClass.name=a100
refused "colour" "${cluster[@]}" --set colour=red
refused "Workers_2" "${cluster[@]}" --set nodeTiers.Workers_2.role=worker
refused "replicas" op charts/valo-operator --set replicas=some
echo "charts: all is well"

# helm, with a custom resource.

check_helm() { # a chart with a CRD, and an object of that kind
  mkdir -p "$work/chart"/{crds,templates}
  cat >"$work/chart/Chart.yaml" <<K
{apiVersion: v2, name: tiny, version: 0.1.0}
K
  cat >"$work/chart/crds/thing.yaml" <<K
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.smoke.valo.test}
spec:
  group: smoke.valo.test
  scope: Namespaced
  names: {plural: things, singular: thing, kind: Thing}
  versions:
  - {name: v1, served: true, storage: true, subresources: {status: {}}, schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {size: {type: integer, minimum: 1}}}}}}}
K
  cat >"$work/chart/templates/thing.yaml" <<'K'
apiVersion: smoke.valo.test/v1
kind: Thing
metadata: {name: {{ .Release.Name }}}
spec: {size: {{ .Values.size | default 3 }}}
K
  helm install t "$work/chart" -n "$ns" --wait >/dev/null
  same "$(k get thing t -o 'jsonpath={.spec.size}')" 3 "custom object"
  k patch thing t --type=merge -p '{"spec":{"size":0}}' 2>/dev/null >&2 && fail "the schema was not enforced"
  helm upgrade t "$work/chart" -n "$ns" --set size=4 >/dev/null
  same "$(k get thing t -o 'jsonpath={.spec.size}')" 4 "after the upgrade"
  helm uninstall t -n "$ns" >/dev/null
  kubectl delete crd things.smoke.valo.test >/dev/null
}

{{- define "valo-cluster.name" -}}
{{- default .Release.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "valo-cluster.labels" -}}
app.kubernetes.io/name: valo-cluster
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/part-of: valo
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* An image by tag, by digest, or by both; the tag of this release unless said. Nothing without a repository. */ -}}
{{- define "valo-cluster.image" -}}
{{- $image := .image -}}
{{- if $image.repository -}}
{{- $tag := $image.tag -}}
{{- if not (or $tag $image.digest) -}}{{- $tag = .default -}}{{- end -}}
{{- $image.repository -}}{{- with $tag }}:{{ . }}{{- end -}}{{- with $image.digest }}@{{ . }}{{- end -}}
{{- end -}}
{{- end -}}

{{- /* The name of a Wallet of `wallets`. */ -}}
{{- define "valo-cluster.wallet" -}}
{{- $wallet := index .root.Values.wallets .name -}}
{{- if not $wallet -}}{{- fail (printf "%s: there is no wallets.%s" .field .name) -}}{{- end -}}
{{- printf "%s-%s" (include "valo-cluster.name" .root) .name -}}
{{- end -}}

{{- /* The ConfigMap with the genesis of a chain that is joined. */ -}}
{{- define "valo-cluster.givenGenesis" -}}
{{- if .Values.join.genesis -}}
{{- printf "%s-given-genesis" (include "valo-cluster.name" .) -}}
{{- else -}}
{{- .Values.join.genesisConfigMap -}}
{{- end -}}
{{- end -}}

{{- /* VALO that a validator of a new chain bonds at least. */ -}}
{{- define "valo-cluster.minValidatorStake" -}}
{{- $presets := dict "dev" "1" "consortium" "1000" "public" "10000" -}}
{{- default (index $presets .Values.chain.preset) (.Values.chain.parameters | default dict).minValidatorStake -}}
{{- end -}}

{{- /* Refuses what a new chain would never take: `tier` and stakes of `nodeTiers`, of which it has said all there is. */ -}}
{{- define "valo-cluster.checkNodeTier" -}}
{{- $stake := .spec.stake | default dict -}}
{{- if eq .spec.role "worker" -}}
{{- $tier := include "valo-cluster.tier" (dict "root" .root "name" .spec.tier "field" (printf "%s.tier" .field)) | fromJson -}}
{{- with $stake.perSlot -}}
{{- if lt (float64 .) (float64 $tier.stakePerSlot) -}}
{{- fail (printf "%s.stake.perSlot: %s VALO is less than the %s that a slot of tier %s takes" $.field . $tier.stakePerSlot $tier.name) -}}
{{- end -}}
{{- $slots := $.spec.slots | default 1 -}}
{{- with $stake.walletTemplate -}}
{{- if lt (float64 .amount) (mulf (float64 $stake.perSlot) $slots) -}}
{{- fail (printf "%s.stake.walletTemplate.amount: %s VALO does not cover the stake of a node, %d slots of %s VALO" $.field .amount (int $slots) $stake.perSlot) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- else if eq .spec.role "validator" -}}
{{- with $stake.perNode -}}
{{- include "valo-cluster.checkValidatorStake" (dict "root" $.root "stake" . "field" (printf "%s.stake.perNode" $.field)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "valo-cluster.checkValidatorStake" -}}
{{- $least := include "valo-cluster.minValidatorStake" .root -}}
{{- if lt (float64 .stake) (float64 $least) -}}
{{- fail (printf "%s: %s VALO is less than the %s that a validator bonds at least" .field .stake $least) -}}
{{- end -}}
{{- end -}}

{{- /* A tier of `chain.tiers` by its name. */ -}}
{{- define "valo-cluster.tier" -}}
{{- $known := list -}}
{{- $found := dict -}}
{{- range .root.Values.chain.tiers -}}
{{- $known = append $known .name -}}
{{- if eq .name ($.name | default "") -}}{{- $found = . -}}{{- end -}}
{{- end -}}
{{- if not $found -}}
{{- $has := join ", " $known | default "none" -}}
{{- if not .name -}}{{- fail (printf "%s: say one of chain.tiers, which has: %s" .field $has) -}}{{- end -}}
{{- fail (printf "%s: chain.tiers has no tier %s; it has: %s" .field .name $has) -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

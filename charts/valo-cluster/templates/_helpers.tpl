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

{{- define "valo-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "valo-operator.fullname" -}}
{{- $name := include "valo-operator.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "valo-operator.selector" -}}
app.kubernetes.io/name: {{ include "valo-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "valo-operator.labels" -}}
{{ include "valo-operator.selector" . }}
app.kubernetes.io/component: operator
app.kubernetes.io/part-of: valo
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "valo-operator.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "valo-operator.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name: name one, or let the chart create it" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- /* An image by tag, by digest, or by both; the tag of this release unless said. */ -}}
{{- define "valo-operator.image" -}}
{{- $image := .image -}}
{{- $tag := $image.tag -}}
{{- if not (or $tag $image.digest) -}}{{- $tag = .default -}}{{- end -}}
{{- $image.repository -}}{{- with $tag }}:{{ . }}{{- end -}}{{- with $image.digest }}@{{ . }}{{- end -}}
{{- end -}}

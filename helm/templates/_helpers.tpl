{{- define "bot.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end -}}
{{- end -}}

{{- define "bot.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "bot.labels" -}}
{{ include "bot.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "bot.account" -}}
{{- if .Values.serviceAccount.create }}{{ .Values.serviceAccount.name | default (include "bot.name" .) }}{{ else }}{{ .Values.serviceAccount.name | default "default" }}{{ end -}}
{{- end -}}

{{- define "bot.image" -}}
{{- if .Values.image.digest }}{{ .Values.image.repository }}@{{ .Values.image.digest }}{{ else }}{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end -}}
{{- end -}}

{{- define "bot.replicas" -}}
{{- if eq .Values.database.kind "sqlite" }}1{{ else if kindIs "invalid" .Values.replicas }}2{{ else }}{{ .Values.replicas }}{{ end -}}
{{- end -}}

{{- define "bot.namespace" -}}
{{- .Values.kubernetes.namespace | default .Release.Namespace -}}
{{- end -}}

{{/* The YAML file; read-only mode is told to people there, beside what RBAC keeps the bot from. */}}
{{- define "bot.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- if .Values.kubernetes.readOnly -}}
{{- $_ := set $config "may" (mergeOverwrite (dict) ($config.may | default dict) (dict "mitigate" list)) -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

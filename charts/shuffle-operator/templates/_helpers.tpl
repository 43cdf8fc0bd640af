{{- define "shuffle-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "shuffle-operator.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains (include "shuffle-operator.name" .) .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "shuffle-operator.name" .) | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* Of objects that belong to no namespace: two releases in two namespaces must not share one. */}}
{{- define "shuffle-operator.clusterName" -}}
{{- printf "%s-%s" .Release.Namespace (include "shuffle-operator.fullname" .) | trunc 200 | trimSuffix "-" }}
{{- end }}

{{- define "shuffle-operator.selector" -}}
app.kubernetes.io/name: {{ include "shuffle-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "shuffle-operator.labels" -}}
{{ include "shuffle-operator.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: shuffle-operator
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* As the operator labels the pods of workers. */}}
{{- define "shuffle-operator.workerSelector" -}}
app.kubernetes.io/name: shuffle-operator
app.kubernetes.io/component: worker
{{- end }}

{{- define "shuffle-operator.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "shuffle-operator.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "shuffle-operator.image" -}}
{{- $image := .Values.image.repository }}
{{- if .Values.image.registry }}{{ $image = printf "%s/%s" .Values.image.registry $image }}{{ end }}
{{- if .Values.image.digest }}
{{- printf "%s@%s" $image .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" $image (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{/* The Secret of the operator's own that all certificates come from. */}}
{{- define "shuffle-operator.seed" -}}
{{- printf "%s-seed" (include "shuffle-operator.fullname" .) }}
{{- end }}

{{/* The Service of the jobs' pages. */}}
{{- define "shuffle-operator.dashboard" -}}
{{- printf "%s-dashboard" (include "shuffle-operator.fullname" . | trunc 53 | trimSuffix "-") }}
{{- end }}

{{/* The namespaces served, as a comma list; empty for all of them. */}}
{{- define "shuffle-operator.namespaces" -}}
{{- if eq .Values.scope "Namespace" }}
{{- join "," (default (list .Release.Namespace) .Values.namespaces | uniq) }}
{{- end }}
{{- end }}

{{/* What the operator may do where jobs are. The same as ROLE in shuffle_operator/handlers/rbac.py,
     the last as ISOLATION: a test compares. */}}
{{- define "shuffle-operator.rules" -}}
- apiGroups: [shuffle-operator.dev]
  resources: [shufflejobs]
  verbs: [list, watch, delete]
- apiGroups: [shuffle-operator.dev]
  resources: [shufflejobs/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, create, delete]
- apiGroups: [""]
  resources: [secrets]
  verbs: [create, delete]
- apiGroups: [""]
  resources: [events]
  verbs: [create]
{{- if .Values.networkPolicy.enabled }}
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [create, delete]
{{- end }}
{{- end }}

{{/* What it may do in its own namespace, for TLS. The same as SEED there. A right to create cannot be had for one name. */}}
{{- define "shuffle-operator.seedRules" -}}
- apiGroups: [""]
  resources: [secrets]
  verbs: [create]
- apiGroups: [""]
  resources: [secrets]
  resourceNames: [{{ include "shuffle-operator.seed" . }}]
  verbs: [get]
{{- end }}

{{/* What it must read outside of namespaces. The same as KOPF there. */}}
{{- define "shuffle-operator.clusterRules" -}}
- apiGroups: [apiextensions.k8s.io]
  resources: [customresourcedefinitions]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get, list, watch]
{{- end }}

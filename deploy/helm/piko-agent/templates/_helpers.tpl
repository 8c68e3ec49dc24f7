{{- define "piko-agent.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Name of all objects of the release; short enough to add a suffix and a pod's number. */}}
{{- define "piko-agent.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "piko-agent.name" .) .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "piko-agent.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "piko-agent.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride }}
{{- end }}

{{- define "piko-agent.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "piko-agent.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "piko-agent.selectorLabels" -}}
app.kubernetes.io/name: {{ include "piko-agent.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Labels of all objects of the chart; commonLabels can't replace the chart's own. */}}
{{- define "piko-agent.labels" -}}
{{- $own := include "piko-agent.selectorLabels" . | fromYaml }}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_") }}
{{- $_ := set $own "app.kubernetes.io/version" .Chart.AppVersion }}
{{- $_ := set $own "app.kubernetes.io/managed-by" .Release.Service }}
{{- mergeOverwrite (deepCopy .Values.commonLabels) $own | toYaml }}
{{- end }}

{{- define "piko-agent.podLabels" -}}
{{- $own := include "piko-agent.selectorLabels" . | fromYaml }}
{{- $_ := set $own "app.kubernetes.io/version" .Chart.AppVersion }}
{{- mergeOverwrite (deepCopy .Values.commonLabels) .Values.podLabels $own | toYaml }}
{{- end }}

{{- define "piko-agent.image" -}}
{{- if not .Values.image.repository }}{{ fail "image.repository is required: the image built from deploy/docker/Dockerfile, in your registry" }}{{ end -}}
{{- with .Values.image.registry }}{{ . }}/{{ end -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end }}

{{/* Whether the configuration is in a ConfigMap or a Secret that the chart didn't create. */}}
{{- define "piko-agent.configIsForeign" -}}
{{- if and .Values.existingConfigMap .Values.existingSecret }}{{ fail "existingConfigMap and existingSecret: the configuration is in one of them" }}{{ end }}
{{- if or .Values.existingConfigMap .Values.existingSecret }}true{{ end }}
{{- end }}

{{/* The agent's configuration: what the chart sets, overridden by `config` of the values. */}}
{{- define "piko-agent.config" -}}
{{- if not (dig "connect" "url" "" .Values.config) }}{{ fail "config.connect.url is required: the address of the cluster's upstream port" }}{{ end }}
{{- if not .Values.config.listeners }}{{ fail "config.listeners is required: the endpoints, each with its service" }}{{ end }}
{{- $own := dict "server" (dict "enabled" true "bind_addr" ":5000") }}
{{- if .Values.token.secretName }}
{{- $_ := set $own "connect" (dict "token_file" "/token/token") }}
{{- end }}
{{- mustMergeOverwrite $own (deepCopy .Values.config) | toYaml }}
{{- end }}

{{/* The agent's own port, which its probes use. */}}
{{- define "piko-agent.pagesPort" -}}
{{- $address := dig "server" "bind_addr" ":5000" .Values.config }}
{{- $port := regexFind "[0-9]+$" $address }}
{{- if not $port }}{{ fail (printf "config: the chart can't tell the port of the address %q" $address) }}{{ end }}
{{- $port }}
{{- end }}

{{/*
Seconds until Kubernetes kills a stopping pod: more than the agent's grace period. To convert the grace period to seconds, a
date is moved by it, because dateModify parses durations as the agent does.
*/}}
{{- define "piko-agent.terminationGracePeriodSeconds" -}}
{{- $grace := dig "grace_period" "1m" .Values.config }}
{{- $given := .Values.terminationGracePeriodSeconds }}
{{- if contains "$" $grace }}
{{- if kindIs "invalid" $given }}{{ fail "config.grace_period comes from the environment: set terminationGracePeriodSeconds above it" }}{{ end }}
{{- int64 $given }}
{{- else }}
{{- $start := toDate "2006-01-02" "2020-01-01" }}
{{- $seconds := sub (mustDateModify $grace $start | unixEpoch) (unixEpoch $start) | int64 }}
{{- if kindIs "invalid" $given }}
{{- add $seconds 15 }}
{{- else if le (int64 $given) $seconds }}
{{- fail (printf "terminationGracePeriodSeconds (%d) has to be above config.grace_period (%s), or pods are killed while they drain" (int64 $given) $grace) }}
{{- else }}
{{- int64 $given }}
{{- end }}
{{- end }}
{{- end }}

{{- define "piko.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Name of all objects of the release; short enough to add a suffix and a pod's number. */}}
{{- define "piko.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "piko.name" .) .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "piko.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "piko.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride }}
{{- end }}

{{- define "piko.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "piko.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "piko.selectorLabels" -}}
app.kubernetes.io/name: {{ include "piko.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Labels of all objects of the chart; commonLabels can't replace the chart's own. */}}
{{- define "piko.labels" -}}
{{- $own := include "piko.selectorLabels" . | fromYaml }}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_") }}
{{- $_ := set $own "app.kubernetes.io/version" .Chart.AppVersion }}
{{- $_ := set $own "app.kubernetes.io/managed-by" .Release.Service }}
{{- mergeOverwrite (deepCopy .Values.commonLabels) $own | toYaml }}
{{- end }}

{{- define "piko.podLabels" -}}
{{- $own := include "piko.selectorLabels" . | fromYaml }}
{{- $_ := set $own "app.kubernetes.io/version" .Chart.AppVersion }}
{{- mergeOverwrite (deepCopy .Values.commonLabels) .Values.podLabels $own | toYaml }}
{{- end }}

{{- define "piko.image" -}}
{{- with .Values.image.registry }}{{ . }}/{{ end -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end }}

{{/* Whether the configuration is in a ConfigMap or a Secret that the chart didn't create. */}}
{{- define "piko.configIsForeign" -}}
{{- if and .Values.existingConfigMap .Values.existingSecret }}{{ fail "existingConfigMap and existingSecret: the configuration is in one of them" }}{{ end }}
{{- if or .Values.existingConfigMap .Values.existingSecret }}true{{ end }}
{{- end }}

{{/* The server's configuration: what the chart sets, overridden by `config` of the values. */}}
{{- define "piko.config" -}}
{{- $own := dict "cluster" (dict "node_id_prefix" "${POD_NAME}-" "join" (list (include "piko.fullname" .))) }}
{{- with .Values.gossipKeys }}
{{- if .secretName }}
{{- $files := list "/gossip-keys/first" "/gossip-keys/second" }}
{{- $_ := set $own.cluster "gossip" (dict "encryption" .encryption "secret_key_files" $files) }}
{{- end }}
{{- end }}
{{- with .Values.tls }}
{{- if .secretName }}
{{- if not .serverName }}{{ fail "tls.secretName needs tls.serverName, a name that the certificate is made out to" }}{{ end }}
{{- $client := dict "server_name" .serverName }}
{{- if .ca }}{{- $_ := set $client "root_cas" (printf "/tls/%s" .ca) }}{{ end }}
{{- $files := dict "cert" "/tls/tls.crt" "key" "/tls/tls.key" "mode" .mode }}
{{- $_ := set $own "proxy" (dict "tls" (merge (dict "client" $client) $files)) }}
{{- $_ := set $own "upstream" (dict "tls" $files) }}
{{- end }}
{{- end }}
{{- mustMergeOverwrite $own (deepCopy .Values.config) | toYaml }}
{{- end }}

{{/* The port at the end of a bind address: (dict "address" ":8000"). */}}
{{- define "piko.portOf" -}}
{{- $address := .address }}
{{- $port := regexFind "[0-9]+$" $address }}
{{- if not $port }}{{ fail (printf "config: the chart can't tell the port of the address %q" $address) }}{{ end }}
{{- $port }}
{{- end }}
{{- define "piko.proxyPort" -}}
{{- include "piko.portOf" (dict "address" (dig "proxy" "bind_addr" ":8000" .Values.config)) }}
{{- end }}
{{- define "piko.upstreamPort" -}}
{{- include "piko.portOf" (dict "address" (dig "upstream" "bind_addr" ":8001" .Values.config)) }}
{{- end }}
{{- define "piko.adminPort" -}}
{{- include "piko.portOf" (dict "address" (dig "admin" "bind_addr" ":8002" .Values.config)) }}
{{- end }}
{{- define "piko.gossipPort" -}}
{{- include "piko.portOf" (dict "address" (dig "cluster" "gossip" "bind_addr" ":8003" .Values.config)) }}
{{- end }}

{{/*
Seconds until Kubernetes kills a stopping pod: more than the server's grace period. To convert the grace period to seconds, a
date is moved by it, because dateModify parses durations as the server does.
*/}}
{{- define "piko.terminationGracePeriodSeconds" -}}
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

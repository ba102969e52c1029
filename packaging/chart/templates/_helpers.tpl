{{- define "gateway.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "gateway.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "gateway.labels" -}}
{{ include "gateway.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "gateway.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "gateway.port" -}}
{{- ternary 8443 8787 (ne .Values.tls.secretName "") -}}
{{- end -}}

{{- /* gateway.yaml: the chart's keys, with those of `config` laid over them. */ -}}
{{- define "gateway.config" -}}
{{- $listener := dict "address" (printf "0.0.0.0:%s" (include "gateway.port" .)) -}}
{{- if .Values.tls.secretName -}}
{{- $certificate := dict "certificate_file" "/etc/approov-gateway/tls/tls.crt" "private_key_file" "/etc/approov-gateway/tls/tls.key" -}}
{{- $_ := set $listener "tls" (dict "certificates" (list $certificate)) -}}
{{- end -}}
{{- with .Values.trustedProxies -}}
{{- $_ := set $listener "trusted_proxies" (dict "ranges" . "client_address" "x-forwarded-for") -}}
{{- end -}}
{{- $server := dict
  "drain_delay" (printf "%ds" (int .Values.drainDelaySeconds))
  "grace_period" (printf "%ds" (int .Values.gracePeriodSeconds))
  "watch" true -}}
{{- with .Values.threads -}}{{- $_ := set $server "threads" (int .) -}}{{- end -}}
{{- $config := dict
  "server" $server
  "listeners" (list $listener)
  "admin" (dict "address" (ternary "0.0.0.0:8788" "127.0.0.1:8788" .Values.metrics.enabled) "health_address" "0.0.0.0:8789") -}}
{{- if .Values.redis.url -}}
{{- $folder := "/etc/approov-gateway/fleet" -}}
{{- $store := dict
  "url" .Values.redis.url
  "name" (include "gateway.name" . | trunc 32 | trimSuffix "-")
  "key_file" (printf "%s/%s" $folder .Values.redis.key) -}}
{{- with .Values.redis.passwordKey -}}{{- $_ := set $store "password_file" (printf "%s/%s" $folder .) -}}{{- end -}}
{{- $_ := set $config "fleet" (dict "store" $store) -}}
{{- end -}}
{{- if not (hasKey .Values.config "origins") -}}
{{- $domain := required "api.domain is required: the API that the gateway protects" .Values.api.domain -}}
{{- $_ := set $config "origins" (dict "api" (dict "domain" $domain)) -}}
{{- $_ := set $config "routes" (list (dict "path" "/" "policy" "protect" "origin" "api")) -}}
{{- end -}}
{{- toYaml (merge (dict) .Values.config $config) -}}
{{- end -}}

{{- /* The ports of all servers in the URL of the store, as JSON. */ -}}
{{- define "gateway.redisPorts" -}}
{{- $store := dig "fleet" "store" dict (include "gateway.config" . | fromYaml) -}}
{{- $default := ternary "26379" "6379" (hasKey $store "sentinel") -}}
{{- $ports := list -}}
{{- with $store.url -}}
{{- range regexReplaceAll "^[a-z]+://([^@]*@)?|/[0-9]*$" . "" | splitList "," -}}
{{- $ports = append $ports (regexFind ":[0-9]+$" . | trimPrefix ":" | default $default | int) -}}
{{- end -}}
{{- end -}}
{{- uniq $ports | toJson -}}
{{- end -}}

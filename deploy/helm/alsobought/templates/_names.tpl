{{- define "alsobought.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "alsobought.workers" -}}
{{ include "alsobought.name" . }}-workers
{{- end -}}

{{- define "alsobought.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- define "alsobought.selector" -}}
app.kubernetes.io/name: alsobought
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "alsobought.labels" -}}
{{ include "alsobought.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* Of every pod: no rights, no root, and files that nobody writes to. */}}
{{- define "alsobought.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "alsobought.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: ["ALL"]
{{- end -}}

{{/* How Kafka is reached. */}}
{{- define "alsobought.kafkaEnvironment" -}}
- name: ALSOBOUGHT_BROKER
  value: {{ .Values.kafka.broker | quote }}
{{- if .Values.kafka.existingSecret }}
- name: ALSOBOUGHT_KAFKA_CONFIG
  value: /etc/alsobought/kafka/{{ .Values.kafka.key }}
{{- end }}
{{- range $name, $value := .Values.options }}
{{- if hasPrefix "TOPIC" $name }}
- name: ALSOBOUGHT_{{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}
- name: ALSOBOUGHT_GENERATION
  value: {{ .Values.generation | quote }}
{{- end -}}

{{- define "alsobought.mounts" -}}
- name: temporary
  mountPath: /tmp
{{- if .Values.kafka.existingSecret }}
- name: kafka
  mountPath: /etc/alsobought/kafka
  readOnly: true
{{- end }}
{{- if .Values.kafka.certificatesSecret }}
- name: certificates
  mountPath: /etc/alsobought/certificates
  readOnly: true
{{- end }}
{{- end -}}

{{- define "alsobought.volumes" -}}
- name: temporary
  emptyDir: {}
{{- if .Values.kafka.existingSecret }}
- name: kafka
  secret:
    secretName: {{ .Values.kafka.existingSecret }}
{{- end }}
{{- if .Values.kafka.certificatesSecret }}
- name: certificates
  secret:
    secretName: {{ .Values.kafka.certificatesSecret }}
{{- end }}
{{- end -}}

{{- /* An image's name, of (list $ .Values.….image); without a tag it is the release of the chart. */}}
{{- define "voicefleet.image" -}}
{{- $image := index . 1 -}}
{{ $image.repository }}:{{ $image.tag | default (index . 0).Chart.AppVersion }}
{{- end }}

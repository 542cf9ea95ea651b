#!/usr/bin/env bash
# plan.sh BEFORE AFTER ENVIRONMENT: what merging would do, as Markdown on stdout. BEFORE and AFTER are
# two checkouts of this repository. Exit code 0: nothing, 2: changes, anything else: it cannot be done,
# and stderr says why. The cluster is KUBECONFIG's; the rights of reader.yaml are enough.
set -euo pipefail

render() {
  kubectl kustomize "$1/platform/$2"
  echo "---"
  kubectl kustomize "$1/clients/$2"
}

rendered=$(mktemp -d)
trap 'rm -rf "$rendered"' EXIT
render "$1" "$3" >"$rendered/before.yaml"
render "$2" "$3" >"$rendered/after.yaml"
voicefleet plan --before "$rendered/before.yaml" -f "$rendered/after.yaml" --output markdown

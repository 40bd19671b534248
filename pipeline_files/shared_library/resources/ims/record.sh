#!/usr/bin/env bash
# Records the current state of the overlay's objects: the applied configuration, and for workloads the pod template and its revision.
# The rollback uses this record. It omits Secrets, which must not be stored in files, and Jobs, which cannot be changed.
set -euo pipefail
: "${RENDERED:?}" "${NAMESPACE:?}"

record=$RENDERED/before
rm -rf "$record"
mkdir -p "$record"

# read_as FILE JSONPATH: writes a part of the object to FILE. Templates are JSON with sorted members, so they can be compared as text.
read_as() {
  kubectl get "$name" --namespace "$NAMESPACE" --output jsonpath="$2" >"$record/$name/$1"
}

names=$(kubectl get -k "$RENDERED" --ignore-not-found --output name)
for name in $names; do
  case $name in
    secret/* | job.batch/* | namespace/*) continue ;;
  esac
  mkdir -p "$record/$name"
  read_as applied '{.metadata.annotations.kubectl\.kubernetes\.io/last-applied-configuration}'
  case $name in
    deployment.apps/* | statefulset.apps/*)
      read_as template '{.spec.template}'
      read_as revision '{.metadata.annotations.deployment\.kubernetes\.io/revision}'
      echo "$name: $(kubectl get "$name" --namespace "$NAMESPACE" --output jsonpath='{.spec.template.spec.containers[*].image}')"
      ;;
  esac
done
[[ -n $(ls "$record") ]] || echo 'None of these objects is deployed yet.'

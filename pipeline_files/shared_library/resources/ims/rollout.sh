#!/usr/bin/env bash
# Waits until the migration is complete and every Deployment and StatefulSet of the overlay is ready.
set -euo pipefail
: "${RENDERED:?}" "${NAMESPACE:?}"
within_s=${ROLLOUT_WITHIN_S:-600}
ends_at=$((SECONDS + within_s))

fail() {
  echo "✗ $*" >&2
  exit 1
}

# kubectl wait supports one condition at a time, so it would not notice a failed Job.
wait_for_job() {
  local ended
  while true; do
    ended=$(kubectl get "$1" --namespace "$NAMESPACE" --output jsonpath='{.status.conditions[?(@.status=="True")].type}')
    case " $ended " in
      *' Complete '*) break ;;
      *' Failed '*)
        kubectl logs "$1" --namespace "$NAMESPACE" --tail 50 >&2 || true
        fail "$1 failed, see its log above"
        ;;
    esac
    ((SECONDS < ends_at)) || fail "$1 did not complete within $within_s s"
    sleep 2
  done
  echo "$1 is complete"
}

names=$(kubectl get -k "$RENDERED" --output name)
for name in $(grep '^job\.batch/' <<<"$names"); do wait_for_job "$name"; done
for name in $(grep -E '^(deployment|statefulset)\.apps/' <<<"$names"); do
  left_s=$((ends_at - SECONDS))
  kubectl rollout status "$name" --namespace "$NAMESPACE" --timeout "$((left_s > 1 ? left_s : 1))s" || fail "$name is not ready"
done

#!/usr/bin/env bash
# Shows what would change in the cluster, and keeps it in reports/. Changes nothing. kubectl shows no values of Secrets.
set -euo pipefail
: "${RENDERED:?}" "${NAMESPACE:?}"

mkdir -p reports
report=reports/deployment.diff
status=0
if [[ -z $(kubectl get namespace "$NAMESPACE" --ignore-not-found --output name) ]]; then
  # The server can compare nothing in a namespace that is not there.
  echo "There is no namespace $NAMESPACE yet, so all of this is new:"
  kubectl apply --dry-run=client -k "$RENDERED" >"$report" || status=2
else
  kubectl diff -k "$RENDERED" >"$report" || status=$?
fi
cat "$report"
case $status in
  0 | 1) [[ -s $report ]] || echo 'No differences: this is what is deployed already.' ;;
  *)
    echo "✗ what would change could not be found out (exit code $status)" >&2
    exit 1
    ;;
esac

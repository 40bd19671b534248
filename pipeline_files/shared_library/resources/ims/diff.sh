#!/usr/bin/env bash
# Shows what would change in the cluster, and stores it in reports/. Changes nothing. kubectl hides the values of Secrets.
set -euo pipefail
: "${RENDERED:?}" "${NAMESPACE:?}"

mkdir -p reports
report=reports/deployment.diff
status=0
if [[ -z $(kubectl get namespace "$NAMESPACE" --ignore-not-found --output name) ]]; then
  # The server cannot compare objects in a namespace that does not exist.
  echo "There is no namespace $NAMESPACE yet, so all of this is new:"
  kubectl apply --dry-run=client -k "$RENDERED" >"$report" || status=2
else
  kubectl diff -k "$RENDERED" >"$report" || status=$?
fi
cat "$report"
case $status in
  0 | 1) [[ -s $report ]] || echo 'No differences: this version is already deployed.' ;;
  *)
    echo "✗ the differences could not be determined (exit code $status)" >&2
    exit 1
    ;;
esac

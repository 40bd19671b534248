#!/usr/bin/env bash
# Runs pipeline_files/smoke-test.sh against the producer in the cluster through kubectl port-forward, without an ingress or host name.
set -euo pipefail
: "${NAMESPACE:?}" "${PRODUCER:?}"

log=$(mktemp)
kubectl port-forward --namespace "$NAMESPACE" "${PRODUCER%:*}" ":${PRODUCER#*:}" >"$log" 2>&1 &
tunnel=$!
trap 'kill "$tunnel" 2>/dev/null || true; rm -f "$log"' EXIT

port=''
for ((attempt = 0; attempt < 150; attempt++)); do
  port=$(sed -n 's/^Forwarding from 127\.0\.0\.1:\([0-9]*\) .*/\1/p' "$log")
  if [[ -n $port ]] || ! kill -0 "$tunnel" 2>/dev/null; then break; fi
  sleep 0.1
done
if [[ -z $port ]]; then
  echo "✗ there is no tunnel to $PRODUCER: $(cat "$log")" >&2
  exit 1
fi
pipeline_files/smoke-test.sh "http://127.0.0.1:$port"

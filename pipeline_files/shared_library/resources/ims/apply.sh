#!/usr/bin/env bash
# Applies the overlay. Safe to repeat.
set -euo pipefail
: "${RENDERED:?}"

kubectl apply -k "$RENDERED"

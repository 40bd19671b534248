#!/usr/bin/env bash
# Fails unless the commit is on main, which the job has checked out.
set -euo pipefail
: "${IMS_TAG:?}"

if ! git merge-base --is-ancestor "$IMS_TAG" HEAD; then
  echo "✗ $IMS_TAG is not on main, and this environment accepts only commits on main" >&2
  exit 1
fi

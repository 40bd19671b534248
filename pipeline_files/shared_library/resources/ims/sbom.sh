#!/usr/bin/env bash
# Writes down which npm packages the images have, as CycloneDX: what the services need, by the lockfile. docs/licences.md is about the same.
set -euo pipefail
: "${SERVICES:?}" "${SBOM:?}"

mkdir -p "$(dirname "$SBOM")"
# Without --omit dev, which also leaves out what a tool needs besides a service; services have no dependencies for development.
read -ra services <<<"$SERVICES"
npm sbom --sbom-format cyclonedx --package-lock-only "${services[@]/#/--workspace=}" >"$SBOM"

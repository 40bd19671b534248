#!/usr/bin/env bash
# Writes the list of npm packages in the images as CycloneDX: the dependencies of the services, from the lockfile, as in docs/licences.md.
set -euo pipefail
: "${SERVICES:?}" "${SBOM:?}"

mkdir -p "$(dirname "$SBOM")"
# Without --omit dev, which also omits packages that a tool shares with a service. Services have no development dependencies.
read -ra services <<<"$SERVICES"
npm sbom --sbom-format cyclonedx --package-lock-only "${services[@]/#/--workspace=}" >"$SBOM"

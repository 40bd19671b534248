#!/usr/bin/env bash
# Scans each image that runs in the cluster, including third-party images, for fixable vulnerabilities, and writes its bill of materials.
# exit codes: 0 nothing found · 3 trivy is missing, or not the pinned version · 10 vulnerabilities found · else trivy failed
set -euo pipefail
: "${SERVICES:?}" "${SEVERITY:?}" "${IMS_TAG:?}" "${TRIVY_VERSION:?}"

command -v trivy >/dev/null || exit 3
version=$(trivy --version | sed -n 's/^Version: //p')
if [[ $version != "$TRIVY_VERSION" ]]; then
  echo "the version of trivy is ${version:-unknown}, but the scan requires $TRIVY_VERSION"
  exit 3
fi
mkdir -p reports
found=0
images=$(grep -rhoE '^ *(- )?image: [^ ]+' kubernetes | sed 's/.*image: //' | grep -v '^registry\.invalid/' | sort -u)
for service in $SERVICES; do images+=" registry.invalid/ims/$service:$IMS_TAG"; done
for image in $images; do
  echo "… $image"
  name=${image##*/}
  trivy image --quiet --format cyclonedx --output "reports/sbom-${name%%[:@]*}.cdx.json" "$image"
  code=0
  trivy image --quiet --scanners vuln --ignore-unfixed --severity "$SEVERITY" --exit-code 10 "$image" || code=$?
  # Continues with the other images, so that one build reports all vulnerabilities.
  case $code in
    0) ;;
    10) found=10 ;;
    *) exit "$code" ;;
  esac
done
exit "$found"

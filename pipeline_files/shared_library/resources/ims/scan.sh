#!/usr/bin/env bash
# Scans each image for vulnerabilities that have a fix, and writes its bill of materials.
# exit codes: 0 nothing found · 3 no trivy on this machine · 10 something found · else trivy failed
set -euo pipefail
: "${SERVICES:?}" "${SEVERITY:?}" "${IMS_TAG:?}"

command -v trivy >/dev/null || exit 3
mkdir -p reports
found=0
for service in $SERVICES; do
  image=ims/$service:$IMS_TAG
  echo "… $image"
  trivy image --quiet --format cyclonedx --output "reports/sbom-$service.cdx.json" "$image"
  code=0
  trivy image --quiet --scanners vuln --ignore-unfixed --severity "$SEVERITY" --exit-code 10 "$image" || code=$?
  # All are looked at, so that one build shows all there is to mend.
  case $code in
    0) ;;
    10) found=10 ;;
    *) exit "$code" ;;
  esac
done
exit "$found"

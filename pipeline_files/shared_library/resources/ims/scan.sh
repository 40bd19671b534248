#!/usr/bin/env bash
# Scans each image that runs in the cluster, ours and those of others, for vulnerabilities that have a fix, and writes its bill of materials.
# exit codes: 0 nothing found · 3 no trivy on this machine, or not the one that is pinned · 10 something found · else trivy failed
set -euo pipefail
: "${SERVICES:?}" "${SEVERITY:?}" "${IMS_TAG:?}" "${TRIVY_VERSION:?}"

command -v trivy >/dev/null || exit 3
version=$(trivy --version | sed -n 's/^Version: //p')
if [[ $version != "$TRIVY_VERSION" ]]; then
  echo "trivy is ${version:-of no version that it tells}, and $TRIVY_VERSION is the one to scan with"
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
  # All are looked at, so that one build shows all there is to mend.
  case $code in
    0) ;;
    10) found=10 ;;
    *) exit "$code" ;;
  esac
done
exit "$found"

#!/usr/bin/env bash
# Asks the registry for known vulnerabilities of the npm packages in the images, and stores the response in reports/.
# exit codes: 0 none of that severity or worse · 3 the registry did not respond · 10 vulnerabilities found
set -euo pipefail
: "${SEVERITY:?}" "${SERVICES:?}"

read -ra services <<<"$SERVICES"
audit=(npm audit --audit-level "$SEVERITY" --omit dev --omit optional "${services[@]/#/--workspace=}")

mkdir -p reports
"${audit[@]}" --json >reports/npm-audit.json && code=0 || code=$?
# npm exits with 1 both for vulnerabilities and for an unreachable registry. Only a report has a version.
if ! grep -q '"auditReportVersion"' reports/npm-audit.json; then
  echo "npm audit (exit code $code) returned no report, but: $(head -c 300 reports/npm-audit.json | tr -s '[:space:]' ' ')"
  exit 3
fi
((code == 0)) && exit 0
"${audit[@]}" || true # prints the report as text
exit 10

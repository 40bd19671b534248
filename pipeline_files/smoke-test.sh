#!/usr/bin/env bash
# Makes the four API calls to a running suite: each must succeed, and the item must be created, listed and deleted.
# usage: smoke-test.sh URL     exit codes: 0 all four work · 1 one fails, and the last line says which · 64 wrong usage
# If the API requires a key, SMOKE_API_KEY_FILE names a file that contains one with the scopes read and write.
# The item has a unique sku and is deleted again, so this is safe to run against production.
set -euo pipefail

readonly WITHIN_S=${SMOKE_WITHIN_S:-30} # timeout for a change to appear in the list
readonly CALL_WITHIN_S=10
SKU="SMOKE-$(date +%s)-$((RANDOM % 1000))"
readonly SKU
readonly ITEM="{\"sku\":\"$SKU\",\"name\":\"Tropicana Apple Juice\",\"label\":\"juice\",\"price\":25.00,\"quantity\":50}"

main() {
  if (($# != 1)) || [[ ! $1 =~ ^https?://[^/]+ ]]; then usage; fi
  command -v curl >/dev/null || fail 'there is no curl on this machine'
  url=${1%/}
  trap remove_item EXIT

  expect GET /healthcheck 'Health check message sent'
  created=yes
  expect POST /create_item 'Create item message sent' "$ITEM"
  eventually 'lists the item' is_listed
  expect POST /stock_management 'Stock management (item delete) message sent' "{\"sku\":\"$SKU\"}"
  eventually 'no longer lists the item' is_gone
  created=no
  echo "✓ smoke test passed: $url"
}

# expect METHOD PATH MESSAGE [BODY]: requires status 200 and the message at the first attempt. A POST is never repeated.
expect() {
  call "$1" "$2" "${4:-}"
  [[ $status == 200 && $body == *"\"$3\""* ]] || fail "$1 $2: expected 200 with \"$3\", got $(response)"
  echo "✓ $1 $2: 200"
}

# eventually WHAT PREDICATE: requests the list until the predicate holds.
eventually() {
  local ends_at=$((SECONDS + WITHIN_S))
  until call GET "/order_processing?sku=$SKU" && "$2"; do
    ((SECONDS < ends_at)) || fail "GET /order_processing $1: not within $WITHIN_S s, the last response was $(response)"
    sleep 0.3
  done
  echo "✓ GET /order_processing $1: 200"
}

# Ignores the order of the members and the white space between them.
is_listed() { [[ $status == 200 && $body =~ \"sku\":\ ?\"$SKU\" && $body =~ \"price\":\ ?25(\.0+)?[,}] && $body =~ \"quantity\":\ ?50[,}] ]]; }
is_gone() { [[ $status == 200 && $body == '['* && $body != *"$SKU"* ]]; }

# call METHOD PATH [BODY]: sets status (000 without a response) and body, which then contains the reason.
call() {
  local options=(--silent --show-error --noproxy '127.0.0.1,localhost' --max-time "$CALL_WITHIN_S" --request "$1" --write-out '\n%{http_code}')
  if [[ -n ${3:-} ]]; then options+=(--header 'Content-Type: application/json' --data "$3"); fi
  local output
  output=$(curl "${options[@]}" --config - "$url$2" 2>&1 <<<"$(key_header)") || true
  status=${output##*$'\n'}
  body=${output%$'\n'*}
}

# Passed through curl's standard input, because every user of the machine can read arguments.
key_header() {
  [[ -n ${SMOKE_API_KEY_FILE:-} ]] || return 0
  printf 'header = "Authorization: Bearer %s"\n' "$(<"$SMOKE_API_KEY_FILE")"
}

response() {
  if [[ $status == 000 ]]; then echo "no response (${body//$'\n'/ })"; else echo "$status ${body:0:300}"; fi
}

# Deletes the item if the test has not, and reports whether that was accepted.
remove_item() {
  local code=$?
  [[ ${created:-no} == yes ]] || exit "$code"
  call POST /stock_management "{\"sku\":\"$SKU\"}"
  if [[ $status == 200 ]]; then echo "  item $SKU: its deletion was requested"; else echo "  item $SKU may still be stored"; fi >&2
  exit "$code"
}

fail() {
  echo "✗ smoke test failed: $*" >&2
  exit 1
}

usage() {
  echo 'usage: smoke-test.sh URL, as in smoke-test.sh http://127.0.0.1:5000' >&2
  exit 64
}

main "$@"

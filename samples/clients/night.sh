#!/usr/bin/env bash
# Sends everything.json (UTF-8): {"clinics": [...], "doctors": [...], "patients": [...], "appointments": [...]}
# Prints the answer: the counts, and each record that failed or has a warning. Exits with 0 only if none failed.
set -euo pipefail

address=http://127.0.0.1:5082
key=${API_KEY:?"set it to the key: what stands after the name and colon in the service's API_KEYS"}

answer=$(mktemp)
trap 'rm -f "$answer"' EXIT

# curl may try again when nobody answers or the service is busy: to send records twice is harmless.
told=$(curl --silent --show-error --max-time 900 --retry 3 --retry-connrefused \
  --header "X-API-Key: $key" --header 'Content-Type: application/json' --header 'Prefer: return=minimal' \
  --data-binary @everything.json \
  --output "$answer" --write-out '%{http_code} %{content_type}' "$address/api/healthcare/sync")

cat "$answer"
case $told in
  '200 application/json'*) ;;
  '207 application/json'*) echo 'Some records failed; the others are stored.' >&2; exit 1 ;;
  *) echo "Failed: HTTP $told" >&2; exit 1 ;;
esac

#!/usr/bin/env bash
# Sends the record in patient.json (UTF-8) and prints the answer. Exits with 0 only if the record is stored.
set -euo pipefail

address=http://127.0.0.1:5082
key=${API_KEY:?"set it to the key: what stands after the name and colon in the service's API_KEYS"}

answer=$(mktemp)
trap 'rm -f "$answer"' EXIT

# curl may try again when nobody answers or the service is busy: to send a record twice is harmless.
told=$(curl --silent --show-error --max-time 60 --retry 3 --retry-connrefused \
  --header "X-API-Key: $key" --header 'Content-Type: application/json' --data-binary @patient.json \
  --output "$answer" --write-out '%{http_code} %{content_type}' "$address/api/healthcare/patient")

cat "$answer"
case $told in
  '200 application/json'* | '201 application/json'*) ;;
  *) echo "Not stored: HTTP $told" >&2; exit 1 ;;
esac

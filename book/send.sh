#!/usr/bin/env bash
# Sends a program to a stage and prints the response.
#   book/send.sh http://127.0.0.1:8002 FILE          [curl options]
#   book/send.sh http://127.0.0.1:8002 -c 'print(1)' [curl options]
# Waits up to 30 seconds for the evaluation to end; with WAIT=0 in the environment it does not wait.
# Stage 01 ignores this: it responds when the program has ended.
set -euo pipefail
usage="usage: book/send.sh URL FILE|-c CODE [curl options]"
url=${1:?$usage} program=${2:?$usage}
shift 2
if [[ $program == -c ]]; then
  code=${1:?$usage}
  shift
else
  code=$(<"$program")
fi
python3 -c 'import json, sys; print(json.dumps({"code": sys.argv[1]}))' "$code" |
  curl --silent --show-error --header 'Content-Type: application/json' \
    --header "Prefer: wait=${WAIT:-30}" --data @- "$@" "$url/eval"
[[ " $* " == *" -o "* ]] || echo

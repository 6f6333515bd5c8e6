#!/usr/bin/env bash
# Sends a program to a stage and prints the answer.
#   book/send.sh http://127.0.0.1:8002 FILE          [curl options]
#   book/send.sh http://127.0.0.1:8002 -c 'print(1)' [curl options]
# It waits up to 30 seconds for the evaluation to end; WAIT=0 before it does not wait. Stage 01 knows
# nothing of waiting: its answer comes when it comes.
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

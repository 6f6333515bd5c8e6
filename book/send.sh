#!/usr/bin/env bash
# Sends a Python file to a stage and prints the answer: book/send.sh http://127.0.0.1:8001 FILE
# From stage 02 on, the answer is awaited for up to 30 seconds; stage 01 ignores that header.
set -euo pipefail
url=${1:?the stage\'s address, such as http://127.0.0.1:8001} file=${2:?a Python file}
python3 -c 'import json, sys; print(json.dumps({"code": open(sys.argv[1]).read()}))' "$file" |
  curl --silent --show-error --header 'Content-Type: application/json' --header 'Prefer: wait=30' \
    --data @- "$url/eval"
echo

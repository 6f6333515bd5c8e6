#!/usr/bin/env bash
# Measures the graders of the Python client beside the original of HumanEval, on a stage 09 that it starts.
# Its arguments are those of python/compare_graders.py.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

bash infrastructure/setup/setup.sh --with-tests
# shellcheck source-path=SCRIPTDIR source=../setup/lib.sh
source infrastructure/setup/lib.sh

cargo build --quiet --release --locked --package stage-09-frontier
work=$(mktemp -d)
chmod 0755 "$work" # the API process has no rights
"${CARGO_TARGET_DIR:-target}/release/stage-09-frontier" --listen 127.0.0.1:0 --data-dir "$work/data" \
  --workers "$(nproc)" --warm-sandboxes "$(($(nproc) + 2))" >"$work/url" 2>"$work/log" &
stage=$!
trap 'kill "$stage" 2>/dev/null; wait "$stage" || true; rm -rf "$work"' EXIT
until grep -q -s '^listening on ' "$work/url"; do
  kill -0 "$stage" 2>/dev/null || { cat "$work/log" >&2; die "the stage did not start; its log is above"; }
  sleep 0.1
done
CRUCIBLE_URL=$(sed -n '1s/^listening on //p' "$work/url") PYTHONPATH=infrastructure/clients/python/src \
  PYTHONDONTWRITEBYTECODE=1 "$TOOLS/clients/bin/python3" infrastructure/clients/python/compare_graders.py "$@"

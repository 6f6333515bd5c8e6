#!/usr/bin/env bash
# Measures sandboxes that stay beside docker exec, on a stage 09 that it starts.
# Its arguments are those of python/compare_sandboxes.py.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

bash infrastructure/setup/setup.sh --with-tests
# shellcheck source-path=SCRIPTDIR source=../setup/lib.sh
source infrastructure/setup/lib.sh

cargo build --quiet --release --locked --package stage-09-frontier
"${CARGO_TARGET_DIR:-target}/release/stage-09-frontier" env build --if-missing agent
work=$(mktemp -d)
chmod 0755 "$work" # the API process has no rights
"${CARGO_TARGET_DIR:-target}/release/stage-09-frontier" --listen 127.0.0.1:0 --data-dir "$work/data" \
  --sandboxes 64 --key-sandboxes 64 --key-sandbox-memory-bytes $((64 << 30)) >"$work/url" 2>"$work/log" &
stage=$!
trap 'kill "$stage" 2>/dev/null; wait "$stage" || true; rm -rf "$work"' EXIT
until grep -q -s '^listening on ' "$work/url"; do
  kill -0 "$stage" 2>/dev/null || { cat "$work/log" >&2; die "the stage did not start; its log is above"; }
  sleep 0.1
done
image=$(docker images --format '{{.Repository}}:{{.Tag}}' crucible/environment-agent | head -n 1)
CRUCIBLE_URL=$(sed -n '1s/^listening on //p' "$work/url") PYTHONPATH=infrastructure/clients/python/src \
  PYTHONDONTWRITEBYTECODE=1 "$TOOLS/clients/bin/python3" infrastructure/clients/python/compare_sandboxes.py --image "$image" "$@"

#!/usr/bin/env bash
# Runs all the tests, after installing what they need. Fails if any of them fails.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bash infrastructure/setup/setup.sh --with-tests
# shellcheck source-path=SCRIPTDIR source=setup/lib.sh
source infrastructure/setup/lib.sh
trap - ERR # cargo reports its own failures

# From stage 08 on, a response that violates the contract fails the test, whatever the test checks.
export CRUCIBLE_STRICT_CONTRACT=true
# The tests start the stages' binaries, so those are built first.
cargo build --workspace --bins --locked
# What the tests of environments run programs in: built once, and kept.
for name in agent shell javascript science; do
  as_root target/debug/stage-09-frontier env build --if-missing "$name" >/dev/null
done
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! with_docker cargo nextest run --workspace --locked 2>&1 | tee "$log"; then
  # The output of the failed tests is long; their names are the last lines.
  grep -E '^ +(FAIL|TIMEOUT|SIG[A-Z]+|ABORT|LEAK-FAIL) \[' "$log" | sort -u >&2
  exit 1
fi
cargo test --doc --workspace --locked

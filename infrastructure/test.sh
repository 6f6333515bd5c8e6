#!/usr/bin/env bash
# Runs all the tests, after installing what they need. Fails if any of them fails.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source-path=SCRIPTDIR source=setup/lib.sh
source infrastructure/setup/lib.sh
trap - ERR # set-up and cargo report their own failures

# Set-up mostly waits for downloads, and the compiler needs none of them once it is there. What fails here is built once
# more below, and says why.
# The tests too, in one command: what they need of a library decides how it is compiled, for the binaries as well.
build=(cargo build --workspace --bins --tests --locked)
compiler=
if have cc && RUSTUP_AUTO_INSTALL=0 cargo --version >/dev/null 2>&1; then
  "${build[@]}" >/dev/null 2>&1 &
  compiler=$!
  trap 'kill "$compiler" 2>/dev/null || true' EXIT
fi
bash infrastructure/setup/setup.sh --with-tests
if [[ -n $compiler ]]; then
  wait "$compiler" || true
  trap - EXIT
fi

# From stage 08 on, a response that violates the contract fails the test, whatever the test checks.
export CRUCIBLE_STRICT_CONTRACT=true
# The tests start the stages' binaries, so those are built first.
"${build[@]}"
# What the tests of environments run programs in: built once, and kept.
for name in agent shell javascript science; do
  as_root target/debug/stage-09-frontier env build --if-missing "$name" >/dev/null
done
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# Many tests wait most of their time, so there are more of them than processors.
if ! with_docker cargo nextest run --workspace --locked --test-threads $((2 * $(nproc))) 2>&1 | tee "$log"; then
  # The output of the failed tests is long; their names are the last lines.
  grep -E '^ +(FAIL|TIMEOUT|SIG[A-Z]+|ABORT|LEAK-FAIL) \[' "$log" | sort -u >&2
  exit 1
fi
cargo test --doc --workspace --locked

#!/usr/bin/env bash
# Passes all the tests, after setting up what they need. Fails if any of them fails.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bash infrastructure/setup/setup.sh --with-tests
# shellcheck source-path=SCRIPTDIR source=setup/lib.sh
source infrastructure/setup/lib.sh
trap - ERR # cargo says itself what failed

# From stage 08 on, what answers outside its contract fails, whatever a test is about.
export CRUCIBLE_STRICT_CONTRACT=true
# The tests start the real programs, so those are built first.
cargo build --workspace --bins --locked
with_docker cargo nextest run --workspace --locked
cargo test --doc --workspace --locked

# Tools for the OpenAPI contract, which only the tests need: a linter (Spectral, from npm), a tester that
# generates requests (Schemathesis), a client generator and a library that verifies webhooks, from PyPI. Sourced.
# shellcheck shell=bash

: "${TOOLS:?}" "${SETUP:?}" "${WITH_TESTS:?}" # set by lib.sh and setup.sh

CONTRACT_TOOLS=(spectral schemathesis openapi-python-client)

# A hash over the pinned versions: when it changes, the tools are installed again.
contract_recipe() { (cd "$SETUP/contract" && cat requirements.txt package-lock.json) | sha256sum | cut -d' ' -f1; }

contract_is_there() {
  local tool
  ((WITH_TESTS)) || return 0
  for tool in "${CONTRACT_TOOLS[@]}"; do have "$tool" || return 1; done
  [[ $(cat "$TOOLS/contract/recipe" 2>/dev/null) == "$(contract_recipe)" ]]
}

contract_plan() {
  contract_is_there || echo "install from PyPI and npm into $TOOLS/contract: ${CONTRACT_TOOLS[*]}"
}

contract_do() {
  local directory=$TOOLS/contract
  ! contract_is_there || return 0
  say "installing ${CONTRACT_TOOLS[*]} into $directory"
  venv_new "$directory" "$SETUP/contract/requirements.txt"
  as_root cp "$SETUP/contract/package.json" "$SETUP/contract/package-lock.json" "$directory.new/"
  # Verified against the hashes in the lock file, and without running any package's install script.
  as_root npm ci --prefix "$directory.new" --ignore-scripts --no-audit --no-fund --loglevel=error >&2 ||
    die "npm could not install the linter for the contract; its output is above"
  venv_replace "$directory" "$(contract_recipe)" schemathesis openapi-python-client
  as_root ln -sfn "$directory/node_modules/.bin/spectral" "$TOOLS/bin/spectral"
}

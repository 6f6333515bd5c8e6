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
  local directory=$TOOLS/contract tool
  ! contract_is_there || return 0
  say "installing ${CONTRACT_TOOLS[*]} into $directory"
  # Built beside the installed one, and moved over it when it is complete.
  as_root rm -rf "$directory.new"
  as_root /usr/bin/python3 -m venv "$directory.new"
  as_root "$directory.new/bin/pip" install --quiet --disable-pip-version-check --root-user-action=ignore \
    --only-binary=:all: --no-deps --require-hashes --requirement "$SETUP/contract/requirements.txt" >&2 ||
    die "pip could not install the tools for the contract; its output is above"
  as_root cp "$SETUP/contract/package.json" "$SETUP/contract/package-lock.json" "$directory.new/"
  # Verified against the hashes in the lock file, and without running any package's install script.
  as_root npm ci --prefix "$directory.new" --ignore-scripts --no-audit --no-fund --loglevel=error >&2 ||
    die "npm could not install the linter for the contract; its output is above"
  contract_recipe | as_root tee "$directory.new/recipe" >/dev/null
  as_root rm -rf "$directory"
  as_root mv "$directory.new" "$directory"
  as_root mkdir -p "$TOOLS/bin"
  # The scripts of a virtual environment name the interpreter by its absolute path, which has moved.
  for tool in schemathesis openapi-python-client; do
    as_root sed -i "1s|.*|#!$directory/bin/python3|" "$directory/bin/$tool"
    as_root ln -sfn "$directory/bin/$tool" "$TOOLS/bin/$tool"
  done
  as_root ln -sfn "$directory/node_modules/.bin/spectral" "$TOOLS/bin/spectral"
}

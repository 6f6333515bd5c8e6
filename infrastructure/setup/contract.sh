# What the contract is checked with, for the tests alone: a linter of contracts (Spectral, from npm), a
# tester that makes requests out of one (Schemathesis), and a maker of clients, both from PyPI. Sourced.
# shellcheck shell=bash

: "${TOOLS:?}" "${SETUP:?}" "${WITH_TESTS:?}" # set by lib.sh and setup.sh

CONTRACT_TOOLS=(spectral schemathesis openapi-python-client)

# What these are made of: other versions, and they are installed anew.
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
  local folder=$TOOLS/contract tool
  ! contract_is_there || return 0
  say "installing ${CONTRACT_TOOLS[*]} into $folder"
  # Made beside the old one, which is whole until the new one is.
  as_root rm -rf "$folder.new"
  as_root /usr/bin/python3 -m venv "$folder.new"
  as_root "$folder.new/bin/pip" install --quiet --disable-pip-version-check --root-user-action=ignore \
    --only-binary=:all: --no-deps --require-hashes --requirement "$SETUP/contract/requirements.txt" >&2 ||
    die "pip could not install the tools for the contract; its words are above"
  as_root cp "$SETUP/contract/package.json" "$SETUP/contract/package-lock.json" "$folder.new/"
  # By the hashes in the lock file, and without running anything of theirs to install it.
  as_root npm ci --prefix "$folder.new" --ignore-scripts --no-audit --no-fund --loglevel=error >&2 ||
    die "npm could not install the linter for the contract; its words are above"
  contract_recipe | as_root tee "$folder.new/recipe" >/dev/null
  as_root rm -rf "$folder"
  as_root mv "$folder.new" "$folder"
  as_root mkdir -p "$TOOLS/bin"
  # An environment of Python's remembers where it was made: its programs are started by name.
  for tool in schemathesis openapi-python-client; do
    as_root sed -i "1s|.*|#!$folder/bin/python3|" "$folder/bin/$tool"
    as_root ln -sfn "$folder/bin/$tool" "$TOOLS/bin/$tool"
  done
  as_root ln -sfn "$folder/node_modules/.bin/spectral" "$TOOLS/bin/spectral"
}

# A virtual environment with Inspect AI, an MCP client and pytest, which only the tests of the Python client need, from
# PyPI; and the wheels that the client itself depends on, so that a test installs it without the internet. Sourced.
# shellcheck shell=bash

: "${TOOLS:?}" "${SETUP:?}" "${WITH_TESTS:?}" # set by lib.sh and setup.sh

# A hash over the pinned versions: when it changes, the packages are installed again.
clients_recipe() { (cd "$SETUP/clients" && cat requirements.txt wheels.txt) | sha256sum | cut -d' ' -f1; }

clients_are_there() {
  ((WITH_TESTS)) || return 0
  [[ -x $TOOLS/clients/bin/pytest && $(cat "$TOOLS/clients/recipe" 2>/dev/null) == "$(clients_recipe)" ]]
}

clients_plan() {
  clients_are_there || echo "install from PyPI into $TOOLS/clients: what the tests of the Python client need"
}

clients_do() {
  local directory=$TOOLS/clients
  ! clients_are_there || return 0
  say "installing what the tests of the Python client need into $directory"
  venv_new "$directory" "$SETUP/clients/requirements.txt"
  as_root "$directory.new/bin/pip" download --quiet --disable-pip-version-check --only-binary=:all: --no-deps \
    --require-hashes --requirement "$SETUP/clients/wheels.txt" --dest "$directory.new/wheels" >&2 ||
    die "pip could not download what $SETUP/clients/wheels.txt lists; its output is above"
  venv_replace "$directory" "$(clients_recipe)" pytest ruff mypy
}

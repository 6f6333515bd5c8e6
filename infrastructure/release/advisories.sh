#!/usr/bin/env bash
# Compares the dependencies with RustSec's list of known vulnerabilities: advisories.sh [DIRECTORY]
#
# The list is a git repository at GitHub, which cargo-deny fetches. On a machine that does not reach it, DIRECTORY is a
# clone from another one.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp deny.toml "$work/deny.toml"
deny() { cargo deny --offline --locked --config "$work/deny.toml" "$@"; }

if (($#)); then
  [[ -d $1/crates ]] || { echo "advisories: $1 is no clone of RustSec's list: it has no directory crates" >&2; exit 2; }
  # cargo-deny wants a clone where and how it would have made it.
  url=https://example.com/local/advisory-db
  printf '\n[advisories]\ndb-path = "%s/lists"\ndb-urls = ["%s"]\n' "$work" "$url" >>"$work/deny.toml"
  list=$(deny check advisories 2>&1 | grep -oE "$work/lists/[A-Za-z0-9._-]+" | head -1 || true)
  [[ -n $list ]] || { echo "advisories: this cargo-deny does not say where it looks for its list" >&2; exit 2; }
  mkdir -p "${list%/*}" # a list that is older than 90 days is refused
  git clone --quiet "$1" "$list"
  deny check advisories
  exit
fi
if ! timeout 300 cargo deny --locked fetch db >"$work/log" 2>&1; then
  tail -3 "$work/log" >&2
  cat >&2 <<'END'

advisories: RustSec's list cannot be fetched, so that NOTHING was compared. Where GitHub is reached:
  git clone --depth 1 https://github.com/rustsec/advisory-db
and with that directory here:
  just advisories /path/to/advisory-db
END
  exit 1
fi
deny check advisories

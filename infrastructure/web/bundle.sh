#!/usr/bin/env bash
# Builds the vendor bundles of the web frontend from the lock file. With --check it only compares, and fails
# where the committed ones are not what the lock file gives.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

vendor=../../stages/09-frontier/web/vendor
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp ./*.js ./*.json "$work"
# No package runs code of its own while it is installed.
(cd "$work" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2 && node bundle.js "$work/vendor")
case ${1-} in
  --check)
    diff --recursive --brief "$work/vendor" "$vendor" && echo "the vendor bundles are what the lock file gives"
    ;;
  '')
    mkdir -p "$vendor"
    rm -f "$vendor"/*
    cp "$work"/vendor/* "$vendor"
    ls -l "$vendor"
    ;;
  *) echo "bundle.sh: unknown argument '$1'; there is --check" >&2 && exit 2 ;;
esac

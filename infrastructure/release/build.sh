#!/usr/bin/env bash
# Builds the programs of a release: build.sh [DIRECTORY [PACKAGE...]]   (default: target/release-files, both)
#
# The same commit gives the same bytes, in whatever directory and on whatever day: reproduce.sh compares. What it takes beside
# the commit is the compiler of rust-toolchain.toml, and the same linker, C compiler and C library.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

PACKAGES=("${@:2}")
((${#PACKAGES[@]})) || PACKAGES=(stage-09-frontier stage-10-frontier-events)
files=$(realpath -m "${1:-target/release-files}") cargo_home=$(realpath -m "${CARGO_HOME:-$HOME/.cargo}")

# What the environment sets for builds is not part of the commit.
while read -r name; do unset "$name"; done < <(compgen -e | grep -E '^(RUSTFLAGS|RUSTC_|CARGO_(BUILD|PROFILE|TARGET|ENCODED)_?|CC|CXX|CPPFLAGS|LDFLAGS|AR(FLAGS)?$)' || true)
# Two directories are in what a compiler writes: that of the source, and that of the crates.
rust=("--remap-path-prefix=$PWD=/crucible" "--remap-path-prefix=$cargo_home=/cargo")
CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\x1f' && echo "${rust[*]}")
CFLAGS="-ffile-prefix-map=$PWD=/crucible -ffile-prefix-map=$cargo_home=/cargo"
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || cat .source-date)
export CARGO_ENCODED_RUSTFLAGS CFLAGS CXXFLAGS=$CFLAGS SOURCE_DATE_EPOCH CARGO_INCREMENTAL=0 LC_ALL=C TZ=UTC

# A target directory of its own: these flags would make the next build of others a new one.
target=target/reproducible
cargo build --locked --release --target-dir "$target" "${PACKAGES[@]/#/--package=}" --bins >&2

rm -rf "$files"
mkdir -p "$files"
for package in "${PACKAGES[@]}"; do
  strip --strip-all -o "$files/$package" "$target/release/$package"
done
cd "$files"
sha256sum "${PACKAGES[@]}" | tee SHA256SUMS

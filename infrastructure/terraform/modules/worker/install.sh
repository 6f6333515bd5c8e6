#!/usr/bin/env bash
# Installs a worker on a fresh Debian 12, and starts it when `doctor` has proven gVisor. Needs: REGION, BUCKET,
# BUNDLE_KEY, BUNDLE_SHA256, KEY_PARAMETER. Everything comes out of the bucket, through an endpoint of the VPC: the
# machine needs no route to the internet.
#
# For a rehearsal: METADATA, S3 and SSM are the addresses of the three services, ROOT a directory in the place of /.
set -euo pipefail
shopt -s inherit_errexit

METADATA=${METADATA:-http://169.254.169.254} ROOT=${ROOT:-}
S3=${S3:-https://$BUCKET.s3.$REGION.amazonaws.com} SSM=${SSM:-https://ssm.$REGION.amazonaws.com/}
WORKER=$ROOT/usr/local/bin/stage-10-frontier-events

say() { printf 'worker: %s\n' "$*"; }
die() { say "error: $*" >&2; exit 1; }

# After a failure no service runs. The alarm on the oldest ticket is the sign.
trap 'say "error: line $LINENO failed; this machine takes no work" >&2' ERR

# metadata PATH: an answer of the machine's metadata service, version 2.
metadata() {
  local token
  token=$(curl --silent --show-error --fail --max-time 5 --retry 5 --request PUT \
    --header 'X-aws-ec2-metadata-token-ttl-seconds: 300' "$METADATA/latest/api/token") || return 1
  curl --silent --show-error --fail --max-time 5 --header "X-aws-ec2-metadata-token: $token" "$METADATA/latest/$1"
}

# signed SERVICE ARGUMENT...: a request that is signed with the role's credentials. They stay out of the list of
# processes: curl reads them from a file that only root can open.
signed() {
  local service=$1 role credentials config
  shift
  # Not left to `set -e`, which does not hold in a function whose result is tested.
  role=$(metadata meta-data/iam/security-credentials/) || return 1
  credentials=$(metadata "meta-data/iam/security-credentials/$role") || return 1
  config=$(mktemp) # for its owner only
  python3 -c '
import json, sys
c = json.load(sys.stdin)
print("user = \"%s:%s\"" % (c["AccessKeyId"], c["SecretAccessKey"]))
print("header = \"x-amz-security-token: %s\"" % c["Token"])' <<<"$credentials" >"$config" || return 1
  curl --silent --show-error --fail --retry 5 --retry-delay 2 --retry-connrefused --max-time 600 \
    --aws-sigv4 "aws:amz:$REGION:$service" --config "$config" "$@" || { rm -f "$config"; return 1; }
  rm -f "$config"
}

# Of the image, not of the bundle: without it nothing that speaks HTTPS trusts anything.
[[ -s /etc/ssl/certs/ca-certificates.crt ]] || die "the image has no certificates of authorities: it lacks ca-certificates"
bundle=$(mktemp)
say "fetching $BUNDLE_KEY"
signed s3 --output "$bundle" "$S3/$BUNDLE_KEY" || die "the bundle cannot be fetched"
# Attack: a role that may write to the bucket puts another program there -> the hash is in the plan.
echo "$BUNDLE_SHA256  $bundle" | sha256sum --check --status || die "the bundle does not have the hash of the plan"
tar --extract --gzip --file "$bundle" --directory "$ROOT/" --same-owner --numeric-owner --preserve-permissions
rm -f "$bundle"

say "fetching the worker's key"
signed ssm --header 'X-Amz-Target: AmazonSSM.GetParameter' --header 'Content-Type: application/x-amz-json-1.1' \
  --data "{\"Name\":\"$KEY_PARAMETER\",\"WithDecryption\":true}" "$SSM" |
  python3 -c 'import json, sys; print(json.load(sys.stdin)["Parameter"]["Value"])' |
  install -m 0400 /dev/stdin "$ROOT/etc/crucible/worker.key" || die "$KEY_PARAMETER cannot be read"
grep -q '^crk_' "$ROOT/etc/crucible/worker.key" || die "$KEY_PARAMETER is no key: it begins with crk_"
grep -q '^CRUCIBLE_API_KEY_FILE=' "$ROOT/etc/crucible/environment" ||
  echo "CRUCIBLE_API_KEY_FILE=/etc/crucible/worker.key" >>"$ROOT/etc/crucible/environment"

# Session Manager's agent, which Debian's image does not have. It is in the bundle, so its hash is as well.
if [[ -e $ROOT/usr/local/lib/crucible/amazon-ssm-agent.deb ]]; then
  dpkg --install "$ROOT/usr/local/lib/crucible/amazon-ssm-agent.deb"
fi
id crucible >/dev/null 2>&1 || useradd --system --no-create-home --shell /usr/sbin/nologin crucible

# Attack: a machine whose kernel or runsc does not work runs programs with less isolation -> `doctor` runs a program
# in a sandbox and verifies its isolation from outside. Without that the service is not enabled. Its unit runs
# `doctor` again before every start.
say "proving gVisor"
"$WORKER" doctor --engine gvisor || die "gVisor is not proven: this machine takes no work"

systemctl daemon-reload
systemctl enable --now crucible-worker.service crucible-spot.service
say "the worker runs"

#!/usr/bin/env bash
# Waits for the notice that a spot machine is to end, two minutes before, and drains the worker then.
set -euo pipefail

METADATA=${METADATA:-http://169.254.169.254} INTERVAL=${INTERVAL:-5}

noticed() {
  local token
  token=$(curl --silent --fail --max-time 3 --request PUT \
    --header 'X-aws-ec2-metadata-token-ttl-seconds: 60' "$METADATA/latest/api/token") || return 1
  # 404 as long as there is no notice.
  curl --silent --fail --max-time 3 --output /dev/null --header "X-aws-ec2-metadata-token: $token" \
    "$METADATA/latest/meta-data/spot/instance-action"
}

until noticed; do sleep "$INTERVAL"; done
echo "this machine ends within two minutes: draining"
# SIGTERM: no new work, and what runs may end. What does not is another worker's after its lease.
systemctl stop crucible-worker.service

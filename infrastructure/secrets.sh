#!/usr/bin/env bash
# Looks for keys and passwords in the files that git knows: secrets.sh [PATH...]; without a path, in all of them.
#
# By forms that providers give their keys, such as AWS's, GitHub's or a private key's first line. Not by entropy: this
# repository has more digests than prose in places.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

options=(--no-verify) # which would call the providers
for name in Base64HighEntropyString HexHighEntropyString KeywordDetector BasicAuthDetector ArtifactoryDetector \
  CloudantDetector IbmCloudIamDetector IbmCosHmacDetector SoftlayerDetector; do
  options+=(--disable-plugin "$name")
done

if [[ ${1:-} == --file ]]; then # one that git does not know, for the test of this script
  cd "$(dirname "$2")" # the scan leaves out what is not below its own directory
  files=("$(basename "$2")")
else
  mapfile -t files < <(git ls-files -- "$@" ':!stages/09-frontier/web/vendor' ':!*.png' ':!*.svg' ':!*.snap' ':!*.lock')
fi
((${#files[@]})) || { echo "secrets.sh: there are no such files" >&2; exit 2; }

found=$(/opt/crucible/cloud/bin/detect-secrets scan "${options[@]}" "${files[@]}" |
  python3 -c '
import json, sys
for path, secrets in json.load(sys.stdin)["results"].items():
    for secret in secrets:
        print("%s:%s: %s" % (path, secret["line_number"], secret["type"]))')
[[ -z $found ]] || { echo "$found"; exit 1; }
echo "${#files[@]} files"

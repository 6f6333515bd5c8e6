#!/usr/bin/env bash
# What this repository would cost if each stage were a copy of the one before it: measured on its own
# files and its own history. The chapter "The journey" has the figures; `just copies` prints them anew.
#   book/copies.sh [REVISION]
# A line of Rust here is any line of a file that ends in .rs, tests of the stage included. A repair is a
# commit that changed the sources of a stage after a later stage existed: with copies, it would have had
# to be made in each of the later stages that existed at that moment as well.
set -euo pipefail
revision=${1:-HEAD}
cd "$(dirname "$0")/.."

lines() { # lines of Rust below a directory, in that revision
  git archive "$revision" "$1" | tar --extract --to-stdout --wildcards '*.rs' | wc -l
}
mapfile -t stages < <(git ls-tree --name-only "$revision" stages/)
declare -A born
for stage in "${stages[@]}"; do
  born[$stage]=$(git log --reverse --format=%ct "$revision" -- "$stage/src" | sed -n 1p)
done

sum=0 copied=0
printf '%-28s %8s %10s\n' stage lines 'as a copy'
for stage in "${stages[@]}"; do
  own=$(lines "$stage")
  sum=$((sum + own))
  copied=$((copied + sum))
  printf '%-28s %8d %10d\n' "${stage#stages/}" "$own" "$sum"
done
printf '%-28s %8d %10d\n\n' all "$sum" "$copied"

repairs=0 edits=0
for index in "${!stages[@]}"; do
  stage=${stages[$index]}
  while read -r time; do
    later=0
    for other in "${stages[@]:index+1}"; do
      if ((born[$other] < time)); then later=$((later + 1)); fi
    done
    if ((later > 0)); then
      repairs=$((repairs + 1))
      edits=$((edits + later))
    fi
  done < <(git log --no-merges --format=%ct "$revision" -- "$stage/src")
done
echo "$(git rev-list --no-merges --count "$revision") commits; $repairs changes of a stage that others are built on;"
echo "with copies each would be made again in the later stages: $edits more changes"

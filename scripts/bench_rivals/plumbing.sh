#!/bin/bash
# git's plumbing as a shell script uses it: blob, tree, commit and ref by one process each, all
# forced to disk. REPOSITORY SECONDS; prints the microseconds of each commit, one a line.
set -eu
cd "$1"
export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=core.fsync GIT_CONFIG_VALUE_0=all
micros=${EPOCHREALTIME/./}
end=$((micros + $2 * 1000000))
parent=$(git rev-parse -q --verify refs/layers/bench || true)
number=0
while :; do
  before=${EPOCHREALTIME/./}
  [ "$before" -lt "$end" ] || break
  number=$((number + 1))
  blob=$(echo "value $before $number" | git hash-object -w --stdin)
  tree=$(printf '100644 blob %s\tfile.txt\n' "$blob" | git mktree)
  if [ -n "$parent" ]; then commit=$(git commit-tree -m bench -p "$parent" "$tree")
  else commit=$(git commit-tree -m bench "$tree"); fi
  git update-ref refs/layers/bench "$commit" $parent
  parent=$commit
  after=${EPOCHREALTIME/./}
  echo $((after - before))
done

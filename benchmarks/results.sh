#!/usr/bin/env bash
# results.sh PROGRAM [RESULTS [FILE]]: writes benchmarks/RESULTS.md from the records in benchmarks/results/DEVICE/*.json, which
# are device_report.sh's bench-*.json. The same records give the same file.
set -eu
fovea=${1:?usage: results.sh PROGRAM [RESULTS [FILE]]}
here=$(cd "$(dirname "$0")" && pwd)
results=${2:-$here/results} file=${3:-$here/RESULTS.md}
export LC_ALL=C # the order of names
target=nvidia-h200 # the goals are about this one

# value FILE KEY: a text of a record, the first of that name.
value() { sed -n "s/^ *\"$2\": \"\\(.*\\)\",\\{0,1\\}\$/\\1/p" "$1" | head -n 1; }

device() {
  local records=("$results/$1"/*.json) record commit
  echo
  echo "## $1"
  echo
  if [ ! -e "${records[0]}" ]; then
    echo "There are no results yet. \`benchmarks/device_report.sh OUTDIR\` on such a machine measures them; its \`bench-*.json\` belong in"
    echo "\`benchmarks/results/$1/\`, and \`make results\` writes this page anew."
    return
  fi
  for record in "${records[@]}"; do
    commit=$(value "$record" commit)
    echo "### $(basename "$record" .json)"
    echo
    echo "$(value "$record" device), $(value "$record" date), commit ${commit:-unknown}."
    echo
    "$fovea" bench --from "$record" --format markdown
    echo
    echo "#### The ladder"
    echo
    "$fovea" bench --from "$record" --ladder "$here/ladder.txt"
    echo
  done
}

# The rungs that are planned, not written: comments of the ladder.
planned() {
  echo
  echo "## Planned"
  echo
  echo "Rungs that are not written yet; the plan, with the time expected of each layer, is [HOPPER.md](HOPPER.md)."
  echo
  sed -n 's/^# planned \([^:]*\): /- \1: /p' "$here/ladder.txt"
}

temporary=$(mktemp "$file.XXXXXX")
trap 'rm -f "$temporary"' EXIT
{
  echo "# Results"
  echo
  echo "Written by \`make results\` from the records in \`benchmarks/results\`; changes belong there. The times of a device are those of"
  echo "its newest run, with the commit that was measured."
  device $target
  for folder in "$results"/*/; do
    name=$(basename "$folder")
    [ ! -d "$folder" ] || [ "$name" = $target ] || device "$name"
  done
  planned
} >"$temporary"
chmod 644 "$temporary"
mv "$temporary" "$file"

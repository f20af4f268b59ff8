# benchmarks/results.sh: the page made of the records, with a stand-in for the program that shows them.
. "$(dirname "$0")/common.sh"
results() { bash "$source/benchmarks/results.sh" "$@"; }
cat >program <<'SH'
#!/bin/sh
[ "$(cat "$3")" != broken ] || { echo "fovea bench: $3: not a record" >&2; exit 2; }
echo "shown: $4 ${5##*/} of ${3##*/}"
SH
chmod +x program

# Nothing is measured yet, and it says so.
mkdir records
expect 0 "" results ./program records page.md
grep -q '^## nvidia-h200$' page.md && grep -q '^There are no results yet' page.md || fail "without records: $(cat page.md)"

mkdir records/cpu records/nvidia-h200 records/waiting
printf '{\n  "commit": "abc",\n  "date": "2026-01-02T03:04:05Z",\n  "machine": {\n    "device": "NVIDIA H200",\n' >records/nvidia-h200/bench-b.json
printf '{\n  "machine": {\n    "device": "A \\"CPU\\""\n' >records/cpu/bench-a.json
cp records/nvidia-h200/bench-b.json records/nvidia-h200/bench-a.json
expect 0 "" results ./program records page.md
[ "$(grep '^##* ' page.md | tr '\n' ';')" = "# Results;## nvidia-h200;### bench-a;#### The ladder;### bench-b;#### The ladder;## cpu;### bench-a;#### The ladder;## waiting;## Planned;" ] ||
  fail "headings: $(grep '^#' page.md)"
grep -qx 'NVIDIA H200, 2026-01-02T03:04:05Z, commit abc.' page.md || fail "the machine: $(cat page.md)"
grep -q 'CPU.*, commit unknown.$' page.md || fail "a record without a commit: $(cat page.md)"
grep -qx 'shown: --format markdown of bench-b.json' page.md && grep -qx 'shown: --ladder ladder.txt of bench-b.json' page.md ||
  fail "what is shown: $(cat page.md)"
[ "$(grep -c '^There are no results yet' page.md)" -eq 1 ] || fail "a device without records: $(cat page.md)"

grep -q '^- conv2d hopper: ' page.md || fail "the planned rungs: $(tail -n 5 page.md)"

# The same again gives the same; a record that cannot be shown leaves the page as it was.
cp page.md first.md
expect 0 "" results ./program records page.md
cmp -s page.md first.md || fail "two pages of the same records differ"
printf broken >records/cpu/bench-c.json
expect 2 "bench-c.json: not a record" results ./program records page.md
cmp -s page.md first.md || fail "a bad record spoils the page"
[ "$(ls)" = "$(printf 'err.txt\nfirst.md\nout.txt\npage.md\nprogram\nrecords')" ] || fail "it leaves files behind: $(ls)"
finish

# benchmarks/device_report.sh: the real program on the emulator in small, and stand-ins for what goes wrong.
. "$(dirname "$0")/common.sh"
report() { bash "$source/benchmarks/device_report.sh" "$@"; }
statuses() { cut -f 2,3 "$1/steps.txt" | tr '\t\n' '=;'; }

rival=reference
"$fovea" --version | grep -q onednn && rival=onednn
small_mnist data 48 16
FOVEA_BUILD=$(dirname "$fovea") FOVEA_DATA=$PWD/data report real --quick --backend emulated --against $rival >out.txt 2>&1 </dev/null
[ $? -eq 0 ] || fail "the report: $(cat out.txt; grep -v '^ ' real/logs.txt | tail -n 30)"
vendor=''
[ $rival = reference ] || vendor="check-$rival=ok;"
[ "$(statuses real)" = "machine=ok;unit-tests=ok;check-emulated=ok;${vendor}train-emulated=ok;${vendor:+train-$rival=ok;}bench-small=ok;" ] ||
  fail "steps: $(statuses real)"
[ "$(ls real | tr '\n' ' ')" = "bench-small.json logs.txt steps.txt summary.txt " ] || fail "files: $(ls real)"
tail -n "$(wc -l <real/summary.txt)" out.txt | cmp -s - real/summary.txt || fail "it does not end with the summary"
expect 0 "" "$fovea" bench --from real/bench-small.json --format markdown
grep -q conv2d_deformable out.txt || fail "the record: $(head -n 5 out.txt)"

# Without a program every step that needs one fails, and all are tried; so does the table of resources of a build without objects.
mkdir empty
echo 13.0 >empty/cuda_objects.txt
FOVEA_BUILD=$PWD/empty report none --quick --backend cuda >out.txt 2>&1 </dev/null
[ $? -eq 1 ] || fail "a missing program gives another status"
[ "$(statuses none)" = "machine=ok;resources=failed (2);unit-tests=failed (8);probe-cudnn=failed (127);check-cuda=failed (127);train-cuda=failed (127);bench-small=failed (127);" ] ||
  fail "a missing program: $(statuses none)"
grep -q '^05 *check-cuda *failed (127) *0 s$' none/summary.txt || fail "the summary: $(cat none/summary.txt)"

# A stand-in whose check fails and whose benchmarks never end: what they write when they are told to stop is kept.
mkdir fake
cat >fake/fovea <<'SH'
#!/usr/bin/env bash
echo "fovea $*"
case $* in kernels*bf16*) echo "conv2d,forward,bf16,direct" ;; esac
[ "$1" != check ] || exit 1
[ "$1" = bench ] || exit 0
while [ "$1" != --out ]; do shift; done
case $2 in *families*) exit 3 ;; esac
signals=0
trap 'signals=$((signals + 1)); [ $signals -lt 2 ] || exit 99; echo "{}" >"$2"; sleep 0.5; exit 143' TERM
while :; do sleep 0.1; done
SH
chmod +x fake/fovea
printf 'CMOCKA_LIBRARY:FILEPATH=CMOCKA_LIBRARY-NOTFOUND\n' >fake/CMakeCache.txt
FOVEA_BUILD=$PWD/fake report stopped --backend onednn --seconds 18 >out.txt 2>&1 </dev/null
[ $? -eq 1 ] || fail "a failed check gives another status"
[ "$(statuses stopped)" = "machine=ok;unit-tests=no cmocka;check-onednn=failed (1);check-onednn-each=ok;train-onednn=ok;bench-convolutions=ok, in part;bench-bf16=not begun;bench-families=not begun;bench-rest=not begun;" ] ||
  fail "a report that was stopped: $(statuses stopped)"
[ -s stopped/bench-convolutions.json ] || fail "what was measured is lost"
grep -q 'fovea bench --backend onednn --against none --dtype f32 --suite resnet --suite vgg .*--format markdown$' stopped/logs.txt ||
  fail "logs: $(cat stopped/logs.txt)"

# A stand-in whose benchmark breaks the device twice: it is begun anew behind that. Another report goes on with what is left.
mkdir breaking
cat >breaking/fovea <<'SH'
#!/usr/bin/env bash
echo "fovea $*"
case $1 in train) [ -e ready ]; exit ;; bench) ;; *) exit 0 ;; esac
while [ "$1" != --out ]; do shift; done
[ "$3" = --resume ] || exit 9
echo '"complete": false,' >>"$2"
[ "$(wc -l <"$2")" -gt 2 ] || exit 1
echo '"complete": true,' >"$2"
SH
chmod +x breaking/fovea
cp fake/CMakeCache.txt breaking
FOVEA_BUILD=$PWD/breaking report broken --backend onednn >out.txt 2>&1 </dev/null
[ "$(statuses broken)" = "machine=ok;unit-tests=no cmocka;check-onednn=ok;train-onednn=failed (1);$(
  for name in convolutions families rest; do printf 'bench-%s=failed (1);bench-%s=failed (1);bench-%s=ok;' $name $name $name; done)" ] ||
  fail "a device that breaks: $(statuses broken)"
cp broken/steps.txt steps.txt
touch ready
FOVEA_BUILD=$PWD/breaking report broken --backend onednn --continue >out.txt 2>&1 </dev/null
[ $? -eq 0 ] && [ "$(statuses broken)" = "$(tr '\t\n' '=;' < <(cut -f 2,3 steps.txt))unit-tests=no cmocka;train-onednn=ok;" ] ||
  fail "a report that goes on: $(statuses broken)"

# Told to stop itself, it passes that on once, and still sums up.
FOVEA_BUILD=$PWD/fake bash "$source/benchmarks/device_report.sh" told --backend onednn >out.txt 2>&1 </dev/null &
until grep -qs '^fovea bench' told/*-bench-convolutions.log; do sleep 0.1; done
kill -TERM $!
wait $!
[ $? -eq 1 ] || fail "a report that is told to stop gives another status"
grep -q 'bench-convolutions  *failed (143)' told/summary.txt && grep -q 'bench-rest  *not begun' told/summary.txt ||
  fail "told to stop: $(cat out.txt)"

expect 2 "no folder is given" report
expect 2 "unknown option --fast" report a --fast
expect 2 "a second folder, b" report a b
expect 2 "--backend needs a value" report a --backend
expect 2 "--seconds ten is no whole number" report a --seconds ten
finish

# fovea check: verdicts and exit statuses, formats, bad input, replay, the self-test. What it finds in wrong kernels is
# tests/mutate's subject.
. "$(dirname "$0")/common.sh"
check() { "$fovea" check --backend emulated "$@"; }

# What passes says so, in one line at the end, with a row per kernel before it.
expect 0 "" check --op conv2d --pass forward --kernel 'direct*' conv2d n=2 c=3 h=7 w=6 k=4 kernel=3x3 pad=1
grep -q '^passed: 4 kernels on 1 case, 8 comparisons; worst error 0\.' out.txt || fail "verdict: $(tail -1 out.txt)"
grep -Eq '^conv2d +forward +f32 +direct_tile +1 +1 +0 +0 +0 +0 +1 +1 ' out.txt || fail "row: $(cat out.txt)"
cp out.txt unquoted.txt
expect 0 "" check --op conv2d --pass forward --kernel 'direct*' 'conv2d n=2 c=3 h=7 w=6 k=4 kernel=3x3 pad=1'
cmp -s out.txt unquoted.txt || fail "a quoted case is another case"
expect 0 "" check --kernel 'direct*' conv2d c=1 h=3 w=3 k=1 kernel=2x2 maxpool c=2 h=4 w=4 kernel=2x2
[ "$(grep -c ' direct' out.txt)" -ge 5 ] || fail "two cases: $(cat out.txt)"
expect 0 "" check --fill exact --dtype f32 --threads 1 --order reverse --seed 9 --against none relu elements=33
grep -q 'reverse thread order.*against reference;' out.txt || fail "--order, --against: $(head -1 out.txt)"
grep -Eq '^relu +forward .* 1 +0 +0.* yes' out.txt || fail "--fill exact: $(cat out.txt)"
expect 0 "" "$fovea" check --backend reference --op relu
expect 0 "" "$fovea" check --backend emulated --op batch --against reference,none
expect 0 "" "$fovea" check --backend reference --op batch --against emulated --seed 2
grep -q "emulated (CUDA kernels on the CPU, varied thread order)" out.txt || fail "the order that a replay has: $(head -1 out.txt)"

expect 0 "" check --op linear --against none
grep -q "^passed: 12 kernels on $(cat "$source"/tests/cases/*.txt | grep -c '^linear ') cases" out.txt || fail "built-in cases: $(tail -1 out.txt)"

# The same seed gives the same bytes; another seed other cases.
expect 0 "" check --random 40 --seed 3
cp out.txt first.txt
expect 0 "" check --random 40 --seed 3
cmp -s out.txt first.txt || fail "two runs of --random with one seed differ"
expect 0 "" check --random 40 --seed 4
! cmp -s out.txt first.txt || fail "--random ignores --seed"

# Formats.
expect 0 "" check --op relu --format json
if command -v python3 >/dev/null; then
  python3 - out.txt <<'PY' || fail "the JSON report"
import json, sys
r = json.load(open(sys.argv[1]))
assert r["backend"] == "emulated" and r["passed"] is True and r["failures"] == [] and r["seed"] == 1

assert {k["kernel"] for k in r["kernels"]} == {"elementwise"} and all(k["failed"] == 0 for k in r["kernels"])
PY
fi
expect 0 "passed: 2 kernels" check --op relu --format csv
[ "$(head -1 out.txt)" = operation,pass,dtype,kernel,cases,passed,failed,unsupported,skipped,mistrusted,exact,bounded,worst,deterministic ] ||
  fail "CSV: $(head -1 out.txt)"
expect 0 "" check --op relu --format markdown
grep -q '^| relu | forward | f32 | elementwise |' out.txt || fail "Markdown: $(cat out.txt)"
expect 0 "" check --op relu --format junit
grep -q '<testcase classname="emulated.relu.forward.f32.elementwise" name="exact relu elements=1 ' out.txt || fail "JUnit: $(head -4 out.txt)"
if command -v python3 >/dev/null; then
  python3 - out.txt <<'PY' || fail "the JUnit report"
import sys, xml.etree.ElementTree as tree
suite = tree.parse(sys.argv[1]).getroot()
cases = suite.findall("testcase")
assert int(suite.get("tests")) == len(cases) and int(suite.get("failures")) == len(suite.findall("testcase/failure")) == 0
assert int(suite.get("skipped")) == len(suite.findall("testcase/skipped"))
PY
fi

# Nothing compared is a failure, and says why.
expect 1 "" check --kernel nonesuch
grep -q '^FAILED: nothing was compared: no kernel matches' out.txt || fail "no kernel: $(cat out.txt)"
expect 1 "" check --kernel direct_tile 'conv2d c=2 h=120 w=120 k=2 kernel=3x3 dilation=55'
grep -q '^FAILED: nothing was compared: .*shared memory' out.txt || fail "refused: $(tail -1 out.txt)"
: >empty.txt
expect 1 "" check --cases empty.txt
grep -q '^FAILED: nothing was compared: there are no cases' out.txt || fail "no cases: $(cat out.txt)"
expect 1 "" check --fill exact sgd elements=5
grep -q '^FAILED: nothing was compared: the operation does not map integers' out.txt || fail "skipped: $(tail -1 out.txt)"
expect 1 "" check conv2d n=0 c=1 h=3 w=3 k=1 kernel=3x3 --pass backward_weights
grep -q '^FAILED: nothing was compared: all expected elements are zero' out.txt || fail "mistrusted: $(tail -1 out.txt)"
expect 1 "" check --pass backward_weights relu elements=3
grep -q '^FAILED: nothing was compared' out.txt || fail "no such pass: $(cat out.txt)"
expect 1 "" check relu elements=0
grep -q '^FAILED: nothing was compared: all tensors are empty' out.txt || fail "empty: $(tail -1 out.txt)"
# That one comparison says nothing of a kernel is no failure where only that one is asked for.
expect 0 "" check --fill exact --against none --pass forward

# Bad input: one line that says which and why.
expect 2 "h=0 must be at least 1" check conv2d n=1 c=3 h=0 w=5 k=4 kernel=3x3
expect 2 "unknown key 'kernal'" check conv2d n=1 c=3 h=5 w=5 k=4 kernal=3x3
expect 2 "groups=2 must divide c=3" check conv2d n=1 c=3 h=5 w=5 k=4 kernel=3x3 groups=2
expect 2 "height: the window spans 3 pixels" check conv2d n=1 c=3 h=2 w=5 k=4 kernel=3x3
expect 2 "unknown operation 'conv3d'" check conv3d n=1
expect 2 "key 'kernel' is missing" check conv2d c=3 h=5 w=5 k=4
expect 2 "no-such-file" check --cases no-such-file
printf 'relu elements=4\nrelu elements=-4\n' >bad.txt
expect 2 "bad.txt:2: relu: elements=-4" check --cases bad.txt
expect 2 "--format=xml: expected table, json, csv, markdown or junit" check --format xml
expect 2 "--fill=some: expected exact or bounded" check --fill some
expect 2 "--order=up: expected forward, reverse, random or varied" check --order up
expect 2 "only the emulated backend has an order of threads" "$fovea" check --backend reference --order reverse
expect 2 "emulated is what is being checked" check --against emulated
if "$fovea" --version | grep -q onednn; then
  expect 2 "onednn is named twice" check --against onednn,none,onednn
  # What the processor lacks is no fault of the kernels, which no case can exercise then.
  export ONEDNN_MAX_CPU_ISA=AVX2
  expect 0 "" "$fovea" check --backend onednn --against none --op linear
  expect 1 "" "$fovea" check --backend onednn --against none --dtype bf16
  grep -q 'FAILED: nothing was compared: oneDNN 2 has bf16 for processors with AVX-512 alone' out.txt ||
    fail "bf16 without AVX-512: $(tail -n 1 out.txt)"
  unset ONEDNN_MAX_CPU_ISA
fi
expect 2 "unknown backend 'gpu'" check --against gpu
expect 2 "unknown backend 'gpu'" "$fovea" check --backend gpu
expect 2 "--random=0: expected a whole number from 1" check --random 0
expect 2 "--op=conv4d: expected conv2d" check --op conv4d

# Other programs' case files.
cat >foreign.txt <<'TXT'
# from benchdnn, and from MIOpenDriver
--conv --dir=FWD_B
mb1ic3ih8oc4oh8kh3ph1n"small"
./bin/MIOpenDriver conv -n 1 -c 4 -H 6 -W 5 -k 3 -y 3 -x 3 -p 1 -q 1 -F 1
conv2d c=1 h=4 w=4 k=1 kernel=2x2
TXT
expect 0 "" check --op conv2d --pass forward --cases foreign.txt
grep -Eq '^conv2d +forward +f32 +direct +3 +3 ' out.txt || fail "foreign cases: $(cat out.txt)"
printf -- '--conv --dt=s8,f32\nic1ih4oc1kh2\n' >lacking.txt
expect 0 "1 case left out, wholly or in part, the first at lacking.txt:2: Fovea has no --dt=s8" check --op conv2d --pass forward --cases lacking.txt
echo 'relu elements=7' | check --cases - >out.txt 2>err.txt || fail "cases from a pipe: $(cat err.txt)"
grep -q '^passed: 2 kernels on 1 case' out.txt || fail "cases from a pipe: $(cat out.txt)"
echo 'relu elements=x' | check --cases - >out.txt 2>err.txt
[ $? -eq 2 ] && grep -q 'standard input:1: relu: elements=x' err.txt || fail "a bad case from a pipe: $(cat err.txt)"

# The checker itself.
expect 0 "" "$fovea" check --backend emulated --self-test
grep -Eq '^passed: ([0-9]+) of \1 judged rightly$' out.txt || fail "--self-test: $(tail -1 out.txt)"
[ "$(grep -Ec ' +yes +failed ' out.txt)" -ge 12 ] || fail "--self-test plants too little: $(cat out.txt)"
expect 0 "" "$fovea" check --backend reference --self-test
expect 2 "--self-test brings its own cases" check --self-test relu elements=1
expect 2 "--self-test brings its own kernels" check --self-test --op relu
expect 2 "--self-test takes no --against" check --self-test --against none
expect 2 "--self-test has no junit report" check --self-test --format junit
expect 0 "" check --self-test --format csv

# Readers that go away, disks that are full, Ctrl-C.
check --op relu --format json | head -c 1 >/dev/null
[ "${PIPESTATUS[0]}" -eq 0 ] || fail "a reader that went away"
"$fovea" check --backend emulated --op relu >/dev/full 2>err.txt
[ $? -eq 2 ] && grep -q 'cannot write to standard output' err.txt || fail "full disk: $(cat err.txt)"
"$fovea" check --backend emulated --kernel nonesuch >/dev/full 2>err.txt
[ $? -eq 1 ] && grep -q 'cannot write to standard output' err.txt || fail "full disk, and a failure: $(cat err.txt)"
rm -f out.txt
"$fovea" check --backend emulated --random 1000000 --op relu >out.txt 2>err.txt &
until [ -s out.txt ]; do sleep 0.1; done
sleep 0.5 # into the first cases
kill -INT $!
wait $!
[ $? -eq 130 ] || fail "Ctrl-C gives another status: $(cat err.txt)"
grep -q "^fovea: now running: fovea check --backend [a-z]* --pass .*'relu elements=" err.txt || fail "Ctrl-C: $(cat err.txt)"
grep -q '^stopped after [0-9]* of 1000000 cases; passed: ' out.txt || fail "Ctrl-C: $(tail -1 out.txt)"
finish

# fovea bench: a table, records, their comparison and pictures; what is wrong, too large, or mistyped.
. "$(dirname "$0")/common.sh"
export XDG_CACHE_HOME=$scratch/cache # of the chip's limits
brief="--samples 3 --least 0.001 --most 0.05 --noise 5"
small="conv2d n=2 c=3 h=9 w=9 k=4 kernel=3x3 maxpool c=4 h=8 w=8 kernel=2x2 stride=2"
backend=reference against=emulated
"$fovea" --version | grep -q ' onednn' && backend=onednn against=reference

expect 0 "" "$fovea" --help
grep -q '^  bench ' out.txt || fail "--help does not list bench"
expect 0 "" "$fovea" bench --help
for option in backend against op pass dtype kernel suite cases sweep samples least noise most seed threads format out plot from compare ladder; do
  grep -q -- "--$option=" out.txt || fail "bench --help does not tell of --$option"
done

# A table, and a record of it.
expect 0 "" "$fovea" bench --backend $backend --against $against $brief --out run.json $small
cp out.txt table.txt
for word in 'TFLOP/s' 'GB/s' 'floor' 'ratio' 'verified' 'conv2d' 'maxpool' 'backward_weights' 'samples' 'spread' 'mean'; do
  grep -q -- "$word" out.txt || fail "the table lacks $word: $(cat out.txt)"
done
grep -q 'WRONG' out.txt && fail "something is wrong: $(cat out.txt)"
[ -s run.json ] && [ -s cache/fovea/ceilings.json ] || fail "no record, or no ceilings: $(ls -R)"

# The same from the record, in every format; JSON gives the record back as it is.
expect 0 "" "$fovea" bench --from run.json
cmp -s out.txt table.txt || fail "the record reads otherwise: $(diff out.txt table.txt | head -n 4)"
expect 0 "" "$fovea" bench --from run.json --out again.json
cmp -s run.json again.json || fail "the record does not survive reading and writing"
expect 0 "" "$fovea" bench --from run.json --format json
diff -q <(tr -d ' \n' <out.txt) <(tr -d ' \n' <run.json) >/dev/null || fail "--format json and --out differ"
expect 0 "" "$fovea" bench --from run.json --format csv
rows=$(($(wc -l <out.txt) - 1))
[ "$rows" -ge 5 ] && [ "$(grep -c '"op": ' run.json)" -eq "$rows" ] || fail "csv has $rows rows: $(cat out.txt)"
expect 0 "" "$fovea" bench --from run.json --format markdown
grep -q '^|' out.txt || fail "markdown: $(cat out.txt)"
expect 0 "" "$fovea" bench --from run.json --ladder "$source/benchmarks/ladder.txt"
grep -q '^#' out.txt || fail "ladder: $(cat out.txt)"
if python3 -c '' 2>/dev/null; then
  python3 -c 'import json; r = json.load(open("run.json")); print(len(r["rows"]))' >parsed.txt 2>&1
  [ "$(cat parsed.txt)" = "$rows" ] || fail "json: $(cat parsed.txt)"
fi

# A run does not differ from itself.
expect 0 "" "$fovea" bench --compare run.json run.json
grep -q 'no difference' out.txt || fail "a run differs from itself: $(cat out.txt)"

# Pictures.
if command -v gnuplot >/dev/null; then
  expect 0 "" "$fovea" bench --from run.json --plot run.svg
  head -c 200 run.svg | grep -q '<?xml' && tail -n 2 run.svg | grep -q '</svg>' || fail "svg: $(head -c 300 run.svg)"
  expect 0 "" "$fovea" bench --from run.json --plot run.png
  [ "$(head -c 4 run.png | od -An -tx1 | tr -d ' ')" = 89504e47 ] || fail "png: $(head -c 40 run.png | od -c | head -n 2)"
else
  expect 2 "gnuplot" "$fovea" bench --from run.json --plot run.svg
fi
expect 2 ".svg or .png" "$fovea" bench --from run.json --plot run.jpg
expect 2 ".svg or .png" "$fovea" bench --backend reference --plot run.jpg relu elements=8
[ ! -s out.txt ] || fail "it measures before it looks at what to draw to"
expect 2 "there is no gnuplot" env PATH="$scratch" "$fovea" bench --backend reference --plot run.svg relu elements=8
[ ! -s out.txt ] || fail "it measures before it looks for gnuplot"
expect 2 "cannot read no.ladder" "$fovea" bench --backend reference --ladder no.ladder relu elements=8
[ ! -s out.txt ] || fail "it measures before it reads the ladder"

# Suites, sweeps, filters.
expect 0 "" "$fovea" bench --backend reference --against none $brief --pass forward --dtype f32 --format csv --sweep n=1:4:x2 conv2d c=1 h=4 w=4 k=1 kernel=3x3
[ "$(grep -c ' n=[124] ' out.txt)" -eq 3 ] || fail "a sweep: $(cat out.txt)"
printf '%s\n' 'relu elements=100  # a layer with a name' >named.txt
expect 0 "" "$fovea" bench --backend reference --against none $brief --cases named.txt --format csv
grep -q 'a layer with a name' out.txt || fail "no label: $(cat out.txt)"

# What does not fit is told, and the rest is timed; what nobody supports, too.
expect 0 "" "$fovea" bench --backend reference --against none $brief relu elements=549755813888 relu elements=100
grep -q 'no memory' out.txt && grep -q 'elements=100' out.txt || fail "too large: $(cat out.txt)"
expect 1 "" "$fovea" bench --backend reference --against none $brief --kernel no_such_kernel relu elements=100

# Ctrl-C: what was timed is there.
"$fovea" bench --backend reference --against none --least 3 --most 3 --out stopped.json relu elements=1000 >out.txt 2>err.txt </dev/null &
until [ -s stopped.json ]; do sleep 0.1; done
kill -INT $!
wait $!
[ $? -eq 130 ] && [ -s stopped.json ] || fail "Ctrl-C: $(cat err.txt out.txt)"
grep -q '"complete": false' stopped.json || fail "a stopped run calls itself complete"

# Killed: what was timed before is there, and --resume goes on behind what ran then.
"$fovea" bench --backend reference --against none --least 30 --most 30 --pass forward --dtype f32 --out killed.json relu elements=1000 >out.txt 2>err.txt </dev/null &
until [ -s killed.json ]; do sleep 0.1; done
kill -KILL $!
wait $! 2>/dev/null
grep -q 'the program ended while this ran' killed.json && grep -q '"complete": false' killed.json || fail "killed: $(cat killed.json)"
expect 1 "" "$fovea" bench --backend reference --against none $brief --pass forward --dtype f32 --out killed.json --resume relu elements=1000 relu elements=2000
[ "$(grep -c '"op": ' killed.json)" -eq 2 ] && grep -q '"complete": true' killed.json && grep -q 'elements=2000' killed.json ||
  fail "a run that goes on: $(cat killed.json)"
expect 2 "killed.json is a record of reference against none" "$fovea" bench --backend emulated --against none --out killed.json --resume relu elements=8
expect 2 "with seed 1" "$fovea" bench --backend reference --against none --seed 2 --out killed.json --resume relu elements=8
for out in /dev/stdout piped; do # into what is no file of its own the record goes once
  "$fovea" bench --backend reference --against none $brief --out $out --format csv relu elements=8 relu elements=9 >piped 2>err.txt
  [ "$(grep -c '"format": ' piped)" -eq 1 ] || fail "to $out: $(cat err.txt piped)"
done
expect 2 "--resume needs --out" "$fovea" bench --backend reference --resume relu elements=8
expect 2 "nothing is measured" "$fovea" bench --from run.json --out again.json --resume

# Bad input: one line, status 2.
expect 2 "unknown backend 'gpu'" "$fovea" bench --backend gpu relu elements=8
expect 2 "reference is what is being timed" "$fovea" bench --backend reference --against reference relu elements=8
expect 2 "resnet" "$fovea" bench --suite resnot
expect 2 "kernel=3x" "$fovea" bench --backend reference conv2d c=3 h=8 w=8 k=4 kernel=3x
expect 2 "cannot read missing.txt" "$fovea" bench --cases missing.txt
expect 2 "missing.json" "$fovea" bench --from missing.json
expect 2 "named.txt" "$fovea" bench --from named.txt
expect 2 "expected one more record" "$fovea" bench --compare run.json
expect 2 "choose no cases" "$fovea" bench --from run.json --suite digits
expect 2 "choose no operations and no kernels" "$fovea" bench --from run.json --kernel direct
expect 2 "--samples=0: expected a whole number" "$fovea" bench --samples 0
expect 2 "--least=-1: expected a number" "$fovea" bench --least=-1
expect 2 "--sweep" "$fovea" bench --backend reference --sweep n=1:4 relu elements=8
expect 2 "--format=xml" "$fovea" bench --format xml
expect 2 "no/such/folder" "$fovea" bench --backend reference --out no/such/folder/run.json relu elements=8
expect 2 "did you mean 'bench'" "$fovea" bnch

# A reader that goes away is no error; a full disk is.
"$fovea" bench --from run.json 2>err.txt | head -n 1 >out.txt
[ "${PIPESTATUS[0]}" -eq 0 ] && [ -s out.txt ] && [ ! -s err.txt ] || fail "with | head: $(cat err.txt)"
for format in table json csv markdown; do
  "$fovea" bench --from run.json --format $format >/dev/full 2>err.txt
  [ $? -eq 2 ] && [ "$(wc -l <err.txt)" -eq 1 ] && grep -q "No space left" err.txt || fail "$format on a full disk: $(cat err.txt)"
done
finish

# fovea train from end to end, on a few of the real digits.
. "$(dirname "$0")/common.sh"
small_mnist data 512 128
best=reference
"$fovea" --version | grep -q onednn && best=onednn

# A run: its lines, its files.
expect 0 "" "$fovea" train --backend $best --data data --epochs 2 --batch 60 --seed 5 --out a.safetensors
[ "$(grep -c '^epoch [12]/2  loss [0-9.]*  train [0-9.]* %  test [0-9.]* %  [0-9]* images/s' out.txt)" -eq 2 ] || fail "epoch lines: $(cat out.txt)"
tail -n 1 out.txt | grep -Eq '^test accuracy [0-9]+\.[0-9]{2} % \([0-9]+/128\)$' || fail "last line: $(tail -n 1 out.txt)"
[ "$(grep -c '^{.*}$' a.jsonl)" -eq 4 ] && [ "$(wc -l <a.jsonl)" -eq 4 ] || fail "log: $(cat a.jsonl)"
grep -q '"event":"epoch","epoch":2' a.jsonl || fail "no second epoch in the log"
grep -aq '"fovea.network"' a.safetensors && grep -aq 'conv1.weight' a.safetensors || fail "weights lack network or tensors"
accuracy=$(tail -n 1 out.txt | sed 's/.*(\([0-9]*\).*/\1/')
[ "$accuracy" -ge 70 ] || fail "only $accuracy of 128 right after 18 steps"
ls -A | grep -q '\.tmp$' && fail "temporary files left: $(ls -A)"

# Same seed, same bits; another seed, others.
expect 0 "" "$fovea" train --backend $best --data data --epochs 2 --batch 60 --seed 5 --out b.safetensors
expect 0 "" "$fovea" train --backend $best --data data --epochs 2 --batch 60 --seed 6 --out c.safetensors
cmp -s a.safetensors b.safetensors || fail "the same seed gave other weights"
cmp -s a.safetensors c.safetensors && fail "another seed gave the same weights"

# Every backend that needs no device trains, and says what stands in for what.
small_mnist tiny 24 8
for backend in reference emulated; do
  expect 0 "" "$fovea" train --backend $backend --data tiny --batch 10 --out $backend.safetensors
done

# A reader that goes away does not cost the weights.
"$fovea" train --backend $best --data data --out head.safetensors 2>err.txt | head -n 1 >out.txt
[ -s head.safetensors ] && [ ! -s err.txt ] || fail "with | head: $(cat err.txt)"
# Output that cannot be written is told.
"$fovea" train --backend $best --data data --out full.safetensors >/dev/full 2>err.txt
[ $? -eq 2 ] && grep -q "No space left" err.txt || fail "with a full disk as output: $(cat err.txt)"

# A disk that fills up while the weights are written: one line, the old weights survive.
cp a.safetensors old.safetensors
cp a.safetensors keep.safetensors
(failures=0; ulimit -f 100; expect 2 "keep.safetensors" "$fovea" train --backend $best --data data --out keep.safetensors; exit $failures) || fail "file size limit"
cmp -s old.safetensors keep.safetensors || fail "the old weights did not survive a failed write"

# Ctrl-C: ends by itself, status 130, with weights.
small_mnist long 20000 16
"$fovea" train --backend reference --data long --batch 8 --out int.safetensors >out.txt 2>err.txt &
pid=$!
for _ in $(seq 600); do [ -s int.jsonl ] && break; sleep 0.1; done
kill -INT $pid
wait $pid
status=$?
[ $status -eq 130 ] && [ -s int.safetensors ] && grep -q '^stopped after [0-9]* steps' out.txt || fail "Ctrl-C: status $status: $(cat out.txt err.txt)"
tail -n 1 out.txt | grep -q '^test accuracy' || fail "Ctrl-C: no accuracy"
finish

# Help, typos and bad input: one clear line and exit status 2.
. "$(dirname "$0")/common.sh"

expect 0 "" "$fovea" --help
grep -q 'train .*digit' out.txt || fail "--help does not list train"
expect 0 "" "$fovea" --version
grep -q '^fovea [0-9]' out.txt && grep -q 'backends:.* reference' out.txt || fail "--version"
expect 0 "" "$fovea" train --help
for option in backend epochs batch lr seed threads data out; do
  grep -q -- "--$option=" out.txt || fail "train --help does not tell of --$option"
done

expect 2 "no command given" "$fovea"
expect 2 "did you mean 'train'" "$fovea" trian
expect 2 "unknown command 'frobnicate': 'fovea --help'" "$fovea" frobnicate
expect 2 "unrecognized option '--epoch-count=3'" "$fovea" train --epoch-count=3
expect 2 "unexpected argument 'mnist'" "$fovea" train mnist
expect 2 "--epochs=0: expected a whole number from 1" "$fovea" train --epochs=0
expect 2 "--epochs=1.5: expected a whole number" "$fovea" train --epochs=1.5
expect 2 "--batch=many: expected a whole number" "$fovea" train --batch=many
expect 2 "--lr=-1: expected a number above 0" "$fovea" train --lr=-1
expect 2 "--lr=nan: expected a number above 0" "$fovea" train --lr=nan
expect 2 "--seed=: expected a whole number" "$fovea" train --seed=
expect 2 "unknown backend 'gpu'" "$fovea" train --backend gpu --data "$source/data/mnist"
expect 2 "no-such-folder" "$fovea" train --data no-such-folder
expect 2 "no-such-folder" "$fovea" train --data "$source/data/mnist" --out no-such-folder/weights.safetensors

expect 2 "--lr=2e6: expected a number above 0" "$fovea" train --lr=2e6
# What cannot be written shows before the work: no epoch is run, nothing is left behind.
mkdir folder
for out in folder folder/ "" no-such-folder/x; do
  expect 2 "cannot" "$fovea" train --data "$source/data/mnist" --out "$out"
  [ ! -s out.txt ] || fail "--out '$out' trained first: $(cat out.txt)"
done
[ -z "$(find . -name '*.jsonl')" ] || fail "stray logs: $(find . -name '*.jsonl')"

# Each damaged file gets its line, and an existing model stays.
small_mnist data 64 32
cp data/t10k-labels-idx1-ubyte good
echo precious >digits.safetensors
damage() { # WORDS COMMAND...
  local words=$1
  shift
  "$@"
  expect 2 "$words" "$fovea" train --data data
  cp good data/t10k-labels-idx1-ubyte
  rm -f data/t10k-labels-idx1-ubyte.gz
}
labels=data/t10k-labels-idx1-ubyte
damage "$labels" truncate -s 20 $labels
damage "$labels" truncate -s 0 $labels
damage "$labels" sh -c "echo more >>$labels"
damage "HTML" sh -c "echo '<!DOCTYPE html><html>404</html>' >$labels"
damage "$labels" sh -c "printf '\\17' | dd of=$labels bs=1 seek=11 conv=notrunc status=none"
damage "t10k" sh -c "head -c 30 $labels >x && printf '\\0\\0\\10\\1\\0\\0\\0\\26' | dd of=x bs=1 conv=notrunc status=none && mv x $labels"
damage "t10k-labels" rm $labels
[ "$(cat digits.safetensors)" = precious ] || fail "a failed run touched the old weights"
finish

# Which kernel runs: what fovea kernels CASE says, and what --tune finds out and remembers.
. "$(dirname "$0")/common.sh"
export XDG_CACHE_HOME=$scratch/cache
file=$XDG_CACHE_HOME/fovea/selection.json
case=(conv2d n=2 c=8 h=10 w=10 k=8 kernel=3x3 pad=1)
kernels=("$fovea" kernels --backend emulated)

# rows PASS: kernel, expected, measured, chosen of that pass
rows() { "${kernels[@]}" --format csv --pass "$1" "${case[@]}" | tail -n +2 | cut -d , -f 4,6,8,9; }

# For people: a table for each pass below the line that names it. One row is chosen, and it is the least expected of those
# that are no yardsticks.
expect 0 "" "${kernels[@]}" "${case[@]}"
for pass in forward backward_data backward_weights; do
  grep -q "^conv2d n=2 .* $pass: floor [0-9.e-]* us (\(memory\|compute\))$" out.txt || fail "no heading of $pass: $(cat out.txt)"
  rows $pass >$pass.txt
  [ "$(grep -c ',yes$' $pass.txt)" -eq 1 ] || fail "$pass chooses: $(cat $pass.txt)"
  least=$(grep -v -e '^im2col' -e ',,,' $pass.txt | sort -t , -g -k 2 | head -n 1)
  [ "${least##*,}" = yes ] || fail "$pass does not choose the least expected: $(cat $pass.txt)"
done
grep -Eq '^emulated +im2col .* no +it is a yardstick$' out.txt || fail "im2col: $(grep im2col out.txt)"
grep -Eq '^emulated +dilated +f32 +no +the filter is dense' out.txt || fail "dilated: $(grep dilated out.txt)"
[ ! -e "$XDG_CACHE_HOME" ] || fail "something was remembered without --tune"

# Filters and formats.
expect 0 "" "${kernels[@]}" --format json --pass forward --kernel 'direct*' "${case[*]}"
[ "$(grep -c '"kernel": "direct' out.txt)" -eq 2 ] && [ "$(grep -c '"kernel"' out.txt)" -eq 2 ] || fail "json: $(cat out.txt)"
expect 1 "fovea kernels: no kernel matches" "${kernels[@]}" --op relu "${case[@]}"
expect 2 "conv2d: key 'k' is missing" "${kernels[@]}" conv2d c=1 h=3 w=3 kernel=1x1

# Measured: one row of each pass has a time and is chosen, from then on without --tune, and only for this case.
expect 0 "" "${kernels[@]}" --tune "${case[@]}"
[ -s "$file" ] || fail "nothing is remembered"
for pass in forward backward_data backward_weights; do
  grep -q "\"conv2d n=2 .* $pass\"" "$file" || fail "nothing is remembered of $pass: $(cat "$file")"
  rows $pass >tuned.txt
  [ "$(grep -c '^[a-z0-9_]*,[^,]*,[0-9.e-]*[0-9],yes$' tuned.txt)" -eq 1 ] || fail "$pass tuned: $(cat tuned.txt)"
done
cp "$file" before.json
expect 0 "" "${kernels[@]}" --tune "${case[@]}"
cmp -s "$file" before.json || fail "what is known is measured again"
expect 0 "" "${kernels[@]}" --format csv "${case[@]}" stride=2
[ "$(tail -n +2 out.txt | cut -d , -f 8 | sort -u)" = "" ] || fail "another case has its times: $(cat out.txt)"

# A file that decides: whatever it names runs. Broken, it is ignored with one line, and only --tune replaces it.
sed 's/"kernel": "[a-z_]*"/"kernel": "direct"/' before.json >"$file"
[ "$(rows forward | grep ',yes$' | cut -d , -f 1)" = direct ] || fail "the file does not decide"
sed 's/"kernel": "[a-z_]*"/"kernel": "direct_tile"/' before.json >"$file"
[ "$(rows forward | grep ',yes$' | cut -d , -f 1)" = direct_tile ] || fail "the file does not decide either way"
head -c 100 before.json >"$file"
expect 0 "selection.json is damaged or of another version: it is ignored; --tune writes it anew" "${kernels[@]}" "${case[@]}"
[ "$(wc -c <"$file")" -eq 100 ] || fail "it was rewritten unasked"
expect 0 "it is ignored and replaced" "${kernels[@]}" --tune "${case[@]}"
expect 0 "" "${kernels[@]}" "${case[@]}"

# Where nothing can be kept it works all the same, and says so.
touch not_a_folder
expect 0 "what is measured is not remembered: " env XDG_CACHE_HOME="$PWD/not_a_folder" "${kernels[@]}" --tune "${case[@]}"

# Training measures first, when asked to, and again finds what it has measured; what it did not ask for it does not write.
small_mnist mnist 512 256
train=("$fovea" train --backend emulated --data mnist --epochs 1 --batch 64 --out model.safetensors)
case $("$fovea" --version) in
  *onednn*) train[3]=onednn ;;
esac
rm -rf "$XDG_CACHE_HOME"
expect 0 "" "${train[@]}"
[ ! -e "$XDG_CACHE_HOME" ] || fail "training remembered something unasked"
cp model.safetensors plain.safetensors
expect 0 "" "${train[@]}"
cmp -s model.safetensors plain.safetensors || fail "two runs of the same choice differ"
expect 0 "" "${train[@]}" --tune
for command in train kernels; do
  "$fovea" $command --help | grep -q -- "--tune" || fail "$command --help does not tell of --tune"
  "$fovea" $command --help | tr -s '\n ' ' ' | grep -q "selection.json" || fail "$command --help does not tell of the file"
done
"$fovea" train --help | tr -s '\n ' ' ' | grep -q "another choice gives other bits" || fail "train --help does not warn"
finish

# tests/mutate: every mutation of the list still applies, and the runner tells what was found from what was not. The
# mutations of this test stand for the outcomes; the list itself is run by `make mutate`.
. "$(dirname "$0")/common.sh"
mutate() { TMPDIR=$scratch bash "$source/tests/mutate/run.sh" "$@"; }

expect 0 "" mutate --dry-run
count=$(sed -n 's/^all \([0-9]*\) mutations apply$/\1/p' out.txt)
[ "${count:-0}" -ge 60 ] || fail "the list: $(cat out.txt)"
expect 0 "" mutate --dry-run 'relu-data-*' batch-elements
grep -qx 'all 6 mutations apply' out.txt || fail "patterns: $(cat out.txt)"
expect 2 "no mutation is named like nothing-*" mutate 'nothing-*'
expect 2 "unknown option --fast" mutate --fast
expect 2 "-j 'many': expected a number of jobs" mutate -j many

# A list that has rotted.
bad() { # WORDS LINE...: such a list is refused
  local words=$1
  shift
  printf '%s\n' "$@" >list.txt
  expect 2 "$words" mutate --dry-run --list list.txt
}
relu=('file: relu.cu' 'kernel: relu forward elementwise')
bad "gone no longer applies: expected exactly once in relu.cu: no such text" 'name: gone' "${relu[@]}" '- no such text' '+ new'
bad "twice no longer applies: expected exactly once in relu.cu: i < elements" 'name: twice' "${relu[@]}" '- i < elements' '+ i > elements'
bad "gone no longer applies: expected exactly once in relu.cu: void tanh(" 'name: gone' "${relu[@]}" 'in: void tanh(' '- i < elements' '+ new'
bad "moved: no file kernels/tanh.cu" 'name: moved' 'file: tanh.cu' 'kernel: relu forward elementwise' '- old' '+ new'
bad "list.txt:2: expected name, file, in, " 'name: typo' 'flie: relu.cu'
bad "list.txt:2: there are two mutations same" 'name: same' 'name: same'
bad "empty: expected lines '- old text' and '+ new text'" 'name: empty' "${relu[@]}"

# Each outcome once.
cat >list.txt <<'LIST'
name: found
file: relu.cu
in: void relu_backward_data_elementwise_kernel(
kernel: relu backward_data elementwise
- y[i] > 0.0f
+ y[i] >= 0.0f

name: missed
file: relu.cu
kernel: relu forward elementwise
- x[i] < 0.0f
+ x[i] <= 0.0f

name: harmless
file: relu.cu
kernel: relu forward elementwise
equivalent: it turns -0 into 0
- x[i] < 0.0f
+ x[i] <= 0.0f

name: misjudged
file: relu.cu
kernel: relu forward elementwise
equivalent: so we thought
- x[i] < 0.0f
+ x[i] < 1.0f

name: blamed
file: relu.cu
kernel: relu backward_data elementwise
- x[i] < 0.0f
+ x[i] < 1.0f

name: broken
file: relu.cu
kernel: relu forward elementwise
- x[i] < 0.0f
+ x[i] < nothing
LIST
expect 2 "" mutate -j 1 --list list.txt
outcome() {
  grep -Eq "^$1 +$2 *" <(sed '1,/^mutation /d' out.txt) || fail "$1: $(grep "^$1 " out.txt), expected: $2"
}
outcome found 'killed +relu backward_data elementwise \([0-9]+ of [0-9]+ cases\): [0-9]+ of [0-9]+ elements of dx are wrong$'
outcome missed 'survived +no case shows it'
outcome harmless 'equivalent +it turns -0 into 0$'
outcome misjudged 'fault +listed as equivalent, but found: relu forward elementwise'
outcome blamed "fault +the verdict blames 'relu forward elementwise', the mistake is in relu backward_data elementwise$"
outcome broken 'fault +does not compile: .*nothing'
[ "$(tail -n 1 out.txt)" = "1 of 5 killed; 1 survived, 1 equivalent, 3 faults" ] || fail "score: $(tail -n 1 out.txt)"
set -- fovea-mutate.*
[ ! -e "$1" ] || fail "the scratch folder $1 is left"
finish

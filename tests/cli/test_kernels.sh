# fovea kernels: the table of kernels in every format, its filters, and what is said of bad ones.
. "$(dirname "$0")/common.sh"

expect 0 "" "$fovea" --help
grep -q '^  kernels .*backend' out.txt || fail "--help does not list kernels"
expect 0 "" "$fovea" kernels --help
for option in backend op pass dtype kernel format; do
  grep -q -- "--$option=" out.txt || fail "kernels --help does not tell of --$option"
done

# All of it: a head, a rule, a line per kernel, a sentence.
expect 0 "" "$fovea" kernels
cp out.txt all.txt
head -n 1 all.txt | grep -Eq '^backend +operation +pass +dtype +kernel +layout +needs +chosen +deterministic +omits +arithmetic +workspace$' || fail "head: $(head -n 1 all.txt)"
sed -n 2p all.txt | grep -Eq '^[- ]+$' || fail "no rule under the head"
kernels=$(tail -n +3 all.txt | sed '/^$/,$d' | wc -l)
backends=$("$fovea" --version | sed -n 's/^backends: //p')
[ "$(tail -n 1 all.txt)" = "$kernels kernels in $(echo "$backends" | wc -w) backends" ] || fail "last line: $(tail -n 1 all.txt)"
for backend in $backends; do
  grep -q "^$backend " all.txt || fail "no kernel of $backend"
done
grep -q ' $' all.txt && fail "blanks at the end of lines"
grep -Eq '^emulated +conv2d +backward_weights +f32 +split_reduce +nhwc +CPU +yes +yes +splits\*' all.txt || fail "split_reduce: $(grep split_reduce all.txt)"
grep -Eq '^reference +conv2d +forward +f64 +loops +nhwc +CPU +yes +yes +none$' all.txt || fail "reference: $(grep loops all.txt)"

grep -Eq '^emulated +conv2d +forward +f32 +winograd_4x4 +nhwc +CPU +yes +yes +errors about 4 times' all.txt || fail "winograd_4x4: $(grep winograd all.txt)"

# The same rows in the other formats.
expect 0 "" "$fovea" kernels --format json
[ "$(grep -c '^  {"backend": "[a-z]*", .*"deterministic": \(true\|false\), .*}' out.txt)" -eq "$kernels" ] || fail "json: $(head -n 3 out.txt)"
[ "$(head -n 1 out.txt)$(tail -n 1 out.txt)" = "[]" ] || fail "json is no array"
if python3 -c '' 2>/dev/null; then
  python3 -c 'import json; rows = json.load(open("out.txt")); print(len(rows), len({len(row) for row in rows}))' >parsed.txt 2>&1
  [ "$(cat parsed.txt)" = "$kernels 1" ] || fail "json: $(cat parsed.txt)"
else
  echo "python3 is not installed here: JSON is not parsed"
fi
expect 0 "" "$fovea" kernels --format csv
[ "$(wc -l <out.txt)" -eq $((kernels + 1)) ] && head -n 1 out.txt | grep -q '^backend,operation,pass,dtype,kernel,layout,needs,chosen,deterministic,omits,arithmetic,workspace$' || fail "csv: $(head -n 3 out.txt)"
grep -q '^emulated,conv2d,backward_weights,f32,split_reduce,nhwc,CPU,yes,yes,,,"splits.*, .*"$' out.txt || fail "csv: $(grep split_reduce out.txt)"
expect 0 "" "$fovea" kernels --format markdown
[ "$(grep -c '^| .* |$' out.txt)" -eq $((kernels + 1)) ] && [ "$(sed -n 2p out.txt | tr -d '|:-')" = "" ] || fail "markdown: $(head -n 3 out.txt)"
grep -qF '| splits\*(k\*' out.txt || fail "markdown does not escape: $(grep split_reduce out.txt)"

# Filters, alone and together.
expect 0 "" "$fovea" kernels --backend emulated --op conv2d --pass backward_weights --dtype f32 --kernel 'split*'
[ "$(wc -l <out.txt)" -eq 5 ] && [ "$(tail -n 1 out.txt)" = "1 kernel in 1 backend" ] || fail "one kernel: $(cat out.txt)"
only() { # COLUMN VALUE OPTIONS...: these leave every row, and only rows, that have VALUE in that column
  local column=$1 value=$2
  shift 2
  expect 0 "" "$fovea" kernels --format csv "$@"
  [ "$(tail -n +2 out.txt | cut -d , -f "$column" | sort -u)" = "$value" ] || fail "$*: $(cat out.txt)"
  local all
  all=$("$fovea" kernels --format csv | tail -n +2 | cut -d , -f "$column" | grep -cx -- "$value")
  [ "$(tail -n +2 out.txt | wc -l)" -eq "$all" ] || fail "$*: $(tail -n +2 out.txt | wc -l) rows of $all"
}
only 1 reference --backend=reference
only 1 emulated -b emulated
only 2 softmax_xent --op=softmax_xent
only 3 backward_data --pass=backward_data
only 4 f64 --dtype=f64
only 5 direct_tile --kernel='direct_?ile'

# What matches nothing is a goal failed; what is mistyped lists what there is.
expect 1 "fovea kernels: no kernel matches --op=relu --pass=backward_weights" "$fovea" kernels --op=relu --pass=backward_weights
expect 1 "no kernel matches" "$fovea" kernels --kernel=nothing --format=json
[ ! -s out.txt ] || fail "output without a kernel: $(cat out.txt)"
expect 2 "fovea kernels: --op=conv3d: expected conv2d, conv2d_transposed, " "$fovea" kernels --op=conv3d
expect 2 "--pass=backwards: expected forward, backward_data or backward_weights" "$fovea" kernels --pass=backwards
expect 2 "--dtype=u8: expected f32, " "$fovea" kernels --dtype=u8
expect 2 "--backend=gpu: expected " "$fovea" kernels --backend=gpu
grep -q 'emulated or reference$' err.txt || fail "backends: $(cat err.txt)"
expect 2 "--backend=auto: expected " "$fovea" kernels --backend=auto
for backend in cuda cudnn onednn; do
  case " $backends " in
    *" $backend "*)
      only 1 $backend --backend=$backend
      [ $backend != cudnn ] || only 6 nchw --kernel='*_nchw'
      ;;
    *) expect 2 "backend $backend is not in this build: " "$fovea" kernels --backend=$backend ;;
  esac
done
expect 2 "--format=xml: expected table, json, csv or markdown" "$fovea" kernels --format=xml
expect 2 "unrecognized option '--backends=all'" "$fovea" kernels --backends=all
expect 2 "conv2d: key 'c' is missing" "$fovea" kernels conv2d
expect 2 "--tune: expected a case to measure" "$fovea" kernels --tune
expect 2 "did you mean 'kernels'" "$fovea" kernel

# A reader that goes away is no error; a full disk is.
"$fovea" kernels 2>err.txt | head -n 1 >out.txt
[ "${PIPESTATUS[0]}" -eq 0 ] && [ -s out.txt ] && [ ! -s err.txt ] || fail "with | head: $(cat err.txt)"
for format in table json csv markdown; do
  "$fovea" kernels --format $format >/dev/full 2>err.txt
  [ $? -eq 2 ] && [ "$(wc -l <err.txt)" -eq 1 ] && grep -q "No space left" err.txt || fail "$format on a full disk: $(cat err.txt)"
done
finish

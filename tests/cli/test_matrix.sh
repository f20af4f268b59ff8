# fovea matrix: the Toeplitz matrix dense and in Matrix Market's form, weights, refusals.
. "$(dirname "$0")/common.sh"

expect 0 "" "$fovea" --help
grep -q '^  matrix .*convolution' out.txt || fail "--help does not list matrix"
expect 0 "" "$fovea" matrix --help
for option in weights format seed; do
  grep -q -- "--$option=" out.txt || fail "matrix --help does not tell of --$option"
done

# Three taps, same padding: k2 on the diagonal, k1 below it, k3 above it.
expect 0 "" "$fovea" matrix conv2d c=1 h=1 w=4 k=1 kernel=1x3 pad=same
[ "$(cat out.txt)" = "k2 k3  .  .
k1 k2 k3  .
 . k1 k2 k3
 .  . k1 k2" ] || fail "dense: $(cat out.txt)"
expect 0 "" "$fovea" matrix --weights 1,-2.5,1 'conv2d c=1 h=1 w=3 k=1 kernel=1x3 pad=same'
[ "$(cat out.txt)" = "-2.5    1    .
   1 -2.5    1
   .    1 -2.5" ] || fail "numbers: $(cat out.txt)"
expect 0 "" "$fovea" matrix conv2d_transposed c=1 h=1 w=2 k=1 kernel=1x2 stride=2x3
[ "$(cat out.txt)" = "k1  .
k2  .
 .  .
 . k1
 . k2" ] || fail "a row without weights: $(cat out.txt)"

# Sparse where the image is larger, or on request: a head, the sizes, as many entries as announced.
expect 0 "" "$fovea" matrix conv2d c=2 h=6 w=6 k=3 kernel=3x3
head -n 1 out.txt | grep -qx '%%MatrixMarket matrix coordinate integer general' || fail "head: $(head -n 1 out.txt)"
read -r rows columns entries < <(grep -v '^%' out.txt | head -n 1)
[ "$rows $columns" = "48 72" ] && [ "$(grep -v '^%' out.txt | tail -n +2 | wc -l)" = "$entries" ] || fail "sizes: $rows $columns $entries"
expect 0 "" "$fovea" matrix --format mtx --weights random --seed 3 conv2d_unshared c=1 h=2 w=2 k=1 kernel=1x1
head -n 1 out.txt | grep -q ' real ' && [ "$(grep -v '^%' out.txt | sort -u | wc -l)" -eq 5 ] || fail "random: $(cat out.txt)"
cp out.txt first.txt
expect 0 "" "$fovea" matrix --format mtx --weights random --seed 3 conv2d_unshared c=1 h=2 w=2 k=1 kernel=1x1
cmp -s out.txt first.txt || fail "the same seed gave other weights"
expect 0 "" "$fovea" matrix --format dense conv2d c=1 h=9 w=9 k=1 kernel=3x3
[ "$(wc -l <out.txt)" -eq 49 ] && [ "$(head -n 1 out.txt | wc -w)" -eq 81 ] || fail "large dense: $(head -n 1 out.txt)"
if python3 -c 'import scipy.io' 2>/dev/null; then
  "$fovea" matrix --weights random --format mtx conv2d c=2 h=6 w=6 k=3 kernel=3x3 >m.mtx
  python3 -c 'import scipy.io; print(scipy.io.mmread("m.mtx").shape)' | grep -qx '(48, 72)' || fail "SciPy does not read it"
fi

expect 2 "no case given" "$fovea" matrix
expect 2 "maxpool has no matrix" "$fovea" matrix maxpool c=1 h=3 w=3 kernel=2x2
expect 2 "unknown operation 'conv3d'" "$fovea" matrix conv3d c=1
expect 2 "stride 0 must be 1" "$fovea" matrix conv2d c=1 h=3 w=3 k=1 kernel=2x2 stride=0
expect 2 "number 2 of 4 is 'x,3,4': expected a number" "$fovea" matrix --weights 1,x,3,4 conv2d c=1 h=3 w=3 k=1 kernel=2x2
expect 2 "4 weights: expected as many numbers, not fewer" "$fovea" matrix --weights 1,2,3 conv2d c=1 h=3 w=3 k=1 kernel=2x2
expect 2 "4 weights: expected as many numbers, not more" "$fovea" matrix --weights 1,2,3,4,5 conv2d c=1 h=3 w=3 k=1 kernel=2x2
expect 2 "--format=csv: expected dense or mtx" "$fovea" matrix --format csv conv2d c=1 h=3 w=3 k=1 kernel=2x2
expect 2 "the case has more than" "$fovea" matrix conv2d "$(head -c 2000 /dev/zero | tr '\0' x)"
"$fovea" matrix conv2d c=1 h=3 w=3 k=1 kernel=2x2 >/dev/full 2>err.txt
[ $? -eq 2 ] && grep -q 'No space left' err.txt || fail "a full disk: $(cat err.txt)"
"$fovea" matrix conv2d c=3 h=512 w=512 k=64 kernel=7x7 2>err.txt | head -n 1 >/dev/null
[ ! -s err.txt ] || fail "a reader that goes away: $(cat err.txt)"
finish

# benchmarks/resources.sh and cmake/keep_resources.sh on made-up words of nvcc: what spills, what has changed, what is new or gone.
. "$(dirname "$0")/common.sh"
command -v c++filt >/dev/null && command -v readelf >/dev/null || { echo "SKIPPED: no binutils"; exit 0; }
resources() { bash "$source/benchmarks/resources.sh" "$@"; }

# said ARCH SYMBOL REGISTERS SHARED STORED LOADED: ptxas -v on one kernel.
said() {
  echo "ptxas info    : Compiling entry function '$2' for 'sm_$1'"
  echo "ptxas info    : Function properties for $2"
  echo "    $5 bytes stack frame, $5 bytes spill stores, $6 bytes spill loads"
  echo "ptxas info    : Used $3 registers, used 1 barriers, $4 bytes smem, 624 bytes cmem[0]"
}
tile=_ZN7fv_cuda18conv2d_tile_kernelILb1ELNS_11tile_methodE1ELi8ELi4EEEvNS_9tile_planEPKfS4_S4_Pf
sums=_ZN7fv_cuda20reduce_splits_kernelElllPKfPfS2_
# build FOLDER VERSION: two kernels on two architectures, and an object without kernels. The tile is bound to 128 x 2 threads.
build() {
  mkdir -p "$1"
  { echo "$2"; for name in splits table tile; do echo "$PWD/$1/$name.cu.o"; done; } >"$1/cuda_objects.txt"
  for name in splits table; do printf 'host' >"$1/$name.cu.o"; done
  printf 'host\177ELF\2\1\1cubin' >"$1/tile.cu.o"
  : >"$1/table.cu.o.ptxas"
  { said 80 $sums 21 0 0 0; said 90a $sums 22 0 0 0; } >"$1/splits.cu.o.ptxas"
  { said 80 $tile 116 1000 0 0; said 90a $tile 120 1000 0 0; } >"$1/tile.cu.o.ptxas"
}
mkdir bin
cat >bin/readelf <<SH
#!/bin/sh
case \$1 in
  -SW) echo "  [ 7] .nv.info          LOPROC+0  0 004250 000210 00      3   0  4"
       echo "  [ 8] .nv.info.$tile LOPROC+0  0 004460 0000c4 00   I  3  35  4" ;;
  *) printf "\nHex dump of section '%s':\n" "\${1#--hex-dump=}"
     echo "  0x00000000 04370400 04050c00 01350000 03191001 .7.......5......"
     echo "  0x00000010 04050c00 80000000 02000000 01000000 abcdef0123456789" ;;
esac
SH
chmod +x bin/readelf
PATH=$PWD/bin:$PATH

# The table: readable names, sorted, with the warps that fit: 116 registers are 120 x 32 to a warp, so 4 to a quarter of the
# multiprocessor, 16 in all; 21 are 24 x 32, 21 to a quarter, more than there can be.
build first 13.0.88
expect 0 "" resources first --update table.txt
cat >expected.txt <<'TXT'
splits.cu 80 21 0 0 0 0 ? 64 reduce_splits_kernel
splits.cu 90a 22 0 0 0 0 ? 64 reduce_splits_kernel
tile.cu 80 116 1000 0 0 0 256 16 conv2d_tile_kernel<true, TILE_SPREAD, 8, 4>
tile.cu 90a 120 1000 0 0 0 256 16 conv2d_tile_kernel<true, TILE_SPREAD, 8, 4>
TXT
grep -vE '^(#|file)' table.txt | tr -s ' ' | cmp -s - expected.txt || fail "the table: $(cat table.txt)"
grep -qx '# CUDA 13.0.88, architectures 80 90a' table.txt || fail "the table's head: $(head -n 5 table.txt)"
expect 0 "" resources first table.txt
grep -qx 'make resources: 2 kernels as in table.txt; none spills' out.txt || fail "nothing has changed: $(cat out.txt)"

# Shared memory limits, too: 3 blocks of 50 KiB and the system's 1 KiB in 164 KiB, 4 in 228 KiB; 32 registers would allow 8.
build large 13.0.88
sed -i 's/1000 bytes smem/51200 bytes smem/; s/Used 1[0-9]* /Used 32 /' large/tile.cu.o.ptxas
expect 0 "" resources large --update large.txt
[ "$(grep tile large.txt | tr -s ' ' | cut -d ' ' -f 9 | tr '\n' ' ')" = "24 32 " ] || fail "shared memory: $(cat large.txt)"

# What spills is found whether it is in the file or not, in functions that a kernel calls, too.
build spilling 13.0.88
{ said 80 $sums 21 0 0 0
  said 90a $sums 22 0 0 0 | head -n 3
  echo "ptxas info    : Function properties for called"
  echo "    40 bytes stack frame, 8 bytes spill stores, 12 bytes spill loads"
  echo "ptxas info    : Used 22 registers, 48 bytes cumulative stack size, 624 bytes cmem[0]"; } >spilling/splits.cu.o.ptxas
expect 1 "" resources spilling table.txt
cat >expected.txt <<'TXT'
spills: splits.cu, sm_90a, reduce_splits_kernel: 8 bytes stored, 12 loaded
make resources: other than in table.txt (was -> is); make resources UPDATE=1 writes it anew
  splits.cu, sm_90a, reduce_splits_kernel: stack 0 -> 48, stored 0 -> 8, loaded 0 -> 12
TXT
cmp -s out.txt expected.txt || fail "spills: $(cat out.txt)"
expect 1 "" resources spilling --update spilling.txt
expect 1 "" resources spilling spilling.txt
[ "$(cat out.txt)" = "$(head -n 1 expected.txt)" ] || fail "spills that are in the file: $(cat out.txt)"

# What is other: a number, a kernel that is new, one that is gone.
build other 13.0.88
{ said 80 $tile 118 1000 0 0; said 90a $tile 120 1000 0 0; } >other/tile.cu.o.ptxas
{ said 80 $sums 21 0 0 0; said 90a ${sums/reduce/extend} 22 0 0 0; } >other/splits.cu.o.ptxas
expect 1 "" resources other table.txt
cat >expected.txt <<'TXT'
make resources: other than in table.txt (was -> is); make resources UPDATE=1 writes it anew
  splits.cu, sm_90a, reduce_splits_kernel: gone
  splits.cu, sm_90a, extend_splits_kernel: new
  tile.cu, sm_80, conv2d_tile_kernel<true, TILE_SPREAD, 8, 4>: registers 116 -> 118
TXT
cmp -s out.txt expected.txt || fail "differences: $(cat out.txt)"

# Another version's numbers are other: they are not compared. Nor are architectures that one of the two lacks.
build newer 14.1.2
cp other/*.ptxas newer
expect 0 "" resources newer table.txt
grep -q 'not compared: this is CUDA 14.1.2, table.txt is of 13.0.88$' out.txt || fail "another version: $(cat out.txt)"
build single 13.0.88
said 90a $tile 120 1000 0 0 >single/tile.cu.o.ptxas
{ said 90a $sums 22 0 0 0; said 120 $sums 99 0 0 0; } >single/splits.cu.o.ptxas
expect 0 "" resources single table.txt

# What cannot be read is one line.
rm single/tile.cu.o.ptxas
expect 2 "tile.cu.o.ptxas: build again" resources single table.txt
mkdir empty without
printf '13.0.88\n\n' >empty/cuda_objects.txt
expect 2 "nothing of any kernel in empty: build again" resources empty table.txt
expect 2 "without has no CUDA build" resources without table.txt
expect 2 "no missing.txt; make resources UPDATE=1 writes it" resources first missing.txt
[ -z "$(find . -name '*.txt.*')" ] || fail "it leaves files behind: $(ls)"

# The launcher keeps what ptxas says and passes everything else on, the status too.
cat >bin/nvcc <<'SH'
#!/bin/sh
while [ "$1" != -o ]; do shift; done
cat said >&2
: >"$2"
[ ! -e broken ]
SH
chmod +x bin/nvcc
{ echo "kernel.cu(7): warning: unused"
  echo "ptxas info    : 0 bytes gmem"
  said 80 $sums 21 0 0 0
  echo "ptxas info    : Compile time = 3 ms"
  echo "ptxas info    : (C7510) Potential Performance Loss"; } >said
launch() { sh "$source/cmake/keep_resources.sh" nvcc -c kernel.cu -o made.o; }
launch 2>err.txt || fail "the launcher fails"
[ "$(cat err.txt)" = "$(sed -n '1p;$p' said)" ] || fail "what the launcher passes on: $(cat err.txt)"
[ "$(cat made.o.ptxas)" = "$(sed -n '2,6p' said)" ] || fail "what the launcher keeps: $(cat made.o.ptxas)"
touch broken
launch 2>err.txt && fail "the launcher hides a failure"
grep -q unused err.txt || fail "the launcher hides why: $(cat err.txt)"
[ ! -e made.o.ptxas ] && [ ! -e made.o.messages ] || fail "a failed compilation leaves files behind"
finish

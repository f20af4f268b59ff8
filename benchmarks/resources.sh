#!/usr/bin/env bash
# resources.sh BUILD [--update] [FILE]: what each kernel takes of the chip (registers, shared memory, stack, spills) and how many
# warps of it fit on a multiprocessor, from the CUDA build in the folder BUILD, compared with FILE (benchmarks/resources.txt).
# Prints what differs and what spills; --update writes FILE anew. A build for only some of FILE's architectures is compared in
# those; one by another version of CUDA is only searched for spills.
#
# Exit status: 0 all is as in FILE and nothing spills; 1 not so; 2 BUILD cannot be read.
#
# The numbers are ptxas's own, which cmake/keep_resources.sh keeps at build time beside each object. The block size is the
# launch bound in the machine code within the object (.nv.info, attribute EIATTR_MAX_THREADS), which readelf can read unless
# nvcc was told to compress it.
set -euo pipefail
export LC_ALL=C # the order of the table
here=$(cd "$(dirname "$0")" && pwd)

die() {
  echo "make resources: $1" >&2
  exit 2
}
build=${1:?usage: resources.sh BUILD [--update] [FILE]}
shift
update=''
[ "${1:-}" != --update ] || { update=yes && shift; }
file=${1:-$here/resources.txt}
[ -r "$build/cuda_objects.txt" ] || die "$build has no CUDA build: configuring it says why"
for tool in c++filt readelf; do
  command -v $tool >/dev/null || die "$tool was not found (Debian: apt install binutils)"
done
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# bounds OBJECT: "SYMBOL THREADS" for each kernel with launch bounds. A section .nv.info.SYMBOL is a list of attributes: a byte
# for the format, one for the kind; in format 4 two bytes for the length of what follows, in others two bytes of value.
bounds() {
  local start
  for start in $({ grep -aobP '\x7fELF\x02\x01\x01' "$1" || true; } | cut -d : -f 1); do
    [ "$start" -gt 0 ] || continue # the object itself
    tail -c +$((start + 1)) "$1" >"$scratch/cubin"
    # shellcheck disable=SC2016 # the quoted line is for another shell
    readelf -SW "$scratch/cubin" 2>/dev/null | sed -n 's/.* \(\.nv\.info\.[^ ]*\) .*/--hex-dump=\1/p' |
      xargs -r sh -c 'readelf "$@" "$0" 2>/dev/null' "$scratch/cubin"
  done | awk '
    function byte(i) { return index("0123456789abcdef", substr(hex, 2 * i + 1, 1)) * 16 + index("0123456789abcdef", substr(hex, 2 * i + 2, 1)) - 17 }
    function flush(    at, size) {
      for (at = 0; 2 * at + 8 <= length(hex); at += 4 + size) {
        size = byte(at) == 4 ? byte(at + 2) + 256 * byte(at + 3) : 0
        if (byte(at) == 4 && byte(at + 1) == 5)
          print symbol, (byte(at + 4) + 256 * byte(at + 5)) * (byte(at + 8) + 256 * byte(at + 9)) * (byte(at + 12) + 256 * byte(at + 13))
      }
      hex = ""
    }
    /^Hex dump/ { flush(); symbol = $0; sub(/^[^\x27]*\x27\.nv\.info\./, "", symbol); sub(/\x27.*/, "", symbol) }
    /^  0x/ { for (i = 2; i <= 5 && $i ~ /^[0-9a-f]+$/ && length($i) == 8; ++i) hex = hex $i }
    END { flush() }'
}

# facts OBJECT: per kernel and architecture "SYMBOL ARCHITECTURE REGISTERS SHARED STACK STORED LOADED". Functions that are
# called, not inlined, are listed with the kernel that calls them; their spills count as the kernel's.
facts() {
  awk '
    function number_before(words,    text) {
      if (!match($0, "[0-9]+ " words))
        return 0
      text = substr($0, RSTART, RLENGTH)
      return text + 0
    }
    /Compiling entry function/ { split($0, part, "\x27"); symbol = part[2]; arch = part[4]; sub(/^sm_/, "", arch); stored = loaded = stack = 0 }
    /bytes stack frame/ {
      frame = number_before("bytes stack frame")
      stack = frame > stack ? frame : stack
      stored += number_before("bytes spill stores")
      loaded += number_before("bytes spill loads")
    }
    /: Used [0-9]/ {
      cumulative = number_before("bytes cumulative stack")
      print symbol, arch, number_before("registers"), number_before("bytes smem"), (cumulative > stack ? cumulative : stack), stored, loaded
    }' "$1.ptxas"
}

# The enumerations of the kernels, "NAME VALUE WORD": a mangled name has only the value.
enumerations() {
  cat "$here"/../kernels/*.cu "$here"/../kernels/*.cuh | awk '
    /^ *enum / { text = ""; within = 1 }
    within { text = text " " $0 }
    within && /}/ {
      within = 0
      split(text, part, /[{}]/)
      name = part[1]
      sub(/^ *enum +(class +)?/, "", name)
      sub(/[ :].*/, "", name)
      gsub(/\/\*[^*]*\*\//, "", part[2])
      count = split(part[2], word, ",")
      value = -1
      for (i = 1; i <= count; ++i) {
        split(word[i], side, "=")
        gsub(/ /, "", side[1])
        value = side[2] ~ /[0-9]/ ? side[2] + 0 : value + 1
        if (name != "" && side[1] != "")
          print name, value, side[1]
      }
    }'
}

# Rows "FILE ARCHITECTURE REGISTERS SHARED STACK STORED LOADED THREADS WARPS KERNEL". How many warps fit is a matter of the
# chip: registers are given to a warp in pieces of 256, a quarter of them to each quarter of the multiprocessor, and each block
# takes 1 KiB of shared memory for the system (CUDA C++ Programming Guide, "Compute Capabilities").
table() {
  enumerations >"$scratch/enumerations"
  tail -n +2 "$build/cuda_objects.txt" | while read -r object; do
    [ -n "$object" ] || continue
    [ -e "$object.ptxas" ] || die "there is no $object.ptxas: build again"
    source=$(basename "${object%.*}")
    bounds "$object" >"$scratch/bounds"
    facts "$object" | awk -v source="$source" '
      FILENAME == ARGV[1] { threads[$1] = $2; next }
      { print source, $2, $3, $4, $5, $6, $7, ($1 in threads) ? threads[$1] : "?", $1 }' "$scratch/bounds" -
  done | c++filt | awk '
    function smaller(a, b) { return a < b ? a : b }
    function warps(arch, registers, shared, threads,    fit, per_block, blocks) {
      sub(/[a-z]$/, "", arch)
      if (!(arch in memory))
        return "?"
      fit = smaller(64, 4 * int(16384 / (256 * int((registers + 7) / 8))))
      if (threads == "?")
        return fit
      per_block = int((threads + 31) / 32)
      blocks = smaller(smaller(32, int(fit / per_block)), int(memory[arch] / (1024 + 128 * int((shared + 127) / 128))))
      return blocks * per_block
    }
    BEGIN { memory[80] = 164 * 1024; memory[90] = 228 * 1024 }
    FILENAME == ARGV[1] { word[$1, $2] = $3; next }
    {
      kernel = $0
      for (i = 1; i <= 8; ++i)
        sub(/^[^ ]+ /, "", kernel)
      gsub(/fv_cuda::|\(anonymous namespace\)::/, "", kernel)
      while (match(kernel, /\([a-z_0-9:]+\)[0-9]+/)) { # a value of an enumeration
        cast = substr(kernel, RSTART + 1, RLENGTH - 1)
        split(cast, side, ")")
        name = ((side[1], side[2]) in word) ? word[side[1], side[2]] : side[1] ":" side[2]
        kernel = substr(kernel, 1, RSTART - 1) name substr(kernel, RSTART + RLENGTH)
      }
      sub(/\(.*/, "", kernel) # the parameters
      sub(/^void /, "", kernel)
      print $1, $2, $3, $4, $5, $6, $7, $8, warps($2, $3, $4, $8), kernel
    }' "$scratch/enumerations" - | sort -k 1,1 -k 10 -k 2,2
}

# shown: rows as a table.
shown() {
  printf '%-28s %4s %9s %6s %5s %6s %6s %7s %5s  %s\n' file arch registers shared stack stored loaded threads warps kernel
  awk '{ kernel = $10; for (i = 11; i <= NF; ++i) kernel = kernel " " $i
         printf "%-28s %4s %9s %6s %5s %6s %6s %7s %5s  %s\n", $1, $2, $3, $4, $5, $6, $7, $8, $9, kernel }'
}

table >"$scratch/rows"
[ -s "$scratch/rows" ] || die "ptxas says nothing of any kernel in $build: build again"
version=$(head -n 1 "$build/cuda_objects.txt")
architectures=$(cut -d ' ' -f 2 "$scratch/rows" | sort -u | tr '\n' ' ')
kernels=$(awk '{ $2 = $3 = $4 = $5 = $6 = $7 = $8 = $9 = ""; print }' "$scratch/rows" | sort -u | wc -l)

bad=0
awk '$6 + $7 > 0 { kernel = $10; for (i = 11; i <= NF; ++i) kernel = kernel " " $i
                   printf "spills: %s, sm_%s, %s: %d bytes stored, %d loaded\n", $1, $2, kernel, $6, $7 }' "$scratch/rows" >"$scratch/spills"
if [ -s "$scratch/spills" ]; then
  bad=1
  cat "$scratch/spills"
fi

if [ -n "$update" ]; then
  temporary=$(mktemp "$file.XXXXXX")
  trap 'rm -rf "$scratch" "$temporary"' EXIT
  {
    cat <<TEXT
# What each kernel takes of the chip: written by \`make resources UPDATE=1\`, compared by \`make resources\`.
#
# CUDA $version, architectures ${architectures% }
#
# registers  per thread                     shared   static shared memory per block, bytes
# stack      per thread, bytes              stored, loaded   bytes of registers spilled to memory: must be 0
# threads    per block at most, the launch bound; ? where a kernel has none
# warps      of 64 that fit on a multiprocessor by registers, static shared memory and launch bound; where there is no bound, by
#            registers alone. What a launch asks for in dynamic shared memory is not known here and can lower it.
#
TEXT
    shown <"$scratch/rows"
  } >"$temporary"
  chmod 644 "$temporary"
  mv "$temporary" "$file"
  echo "make resources: wrote $file: $kernels kernels, CUDA $version, architectures ${architectures% }"
  exit $bad
fi

[ -r "$file" ] || die "there is no $file; make resources UPDATE=1 writes it"
before=$(sed -n 's/^# CUDA \([^,]*\), .*/\1/p' "$file")
if [ "$before" != "$version" ]; then
  echo "make resources: $kernels kernels; not compared: this is CUDA $version, $file is of ${before:-no known version}"
  exit $bad
fi
grep -vE '^#|^file |^$' "$file" | awk '{ $1 = $1; print }' >"$scratch/before"
awk -v architectures="$architectures" '
  function rest(from,    text, i) {
    text = $from
    for (i = from + 1; i <= NF; ++i)
      text = text " " $i
    return text
  }
  function say(place, text) { print "  " place ": " text; found = 1 }
  BEGIN {
    split("registers shared stack stored loaded threads warps", name, " ")
    count = split(architectures, list, " ")
    for (i = 1; i <= count; ++i)
      built[list[i]] = 1
  }
  {
    place = $1 ", sm_" $2 ", " rest(10)
    numbers = $3 " " $4 " " $5 " " $6 " " $7 " " $8 " " $9
  }
  FILENAME == ARGV[1] { if ($2 in built) { was[place] = was[place] numbers ";"; order[++old] = place } known[$2] = 1; next }
  $2 in known { is[place] = is[place] numbers ";"; now[++new] = place }
  END {
    for (i = 1; i <= old; ++i)
      if (!(order[i] in is))
        say(order[i], "gone")
    for (i = 1; i <= new; ++i) {
      place = now[i]
      if (!(place in was))
        say(place, "new")
      else if (is[place] != was[place] && !(place in said)) {
        text = ""
        split(was[place], a, /[ ;]/)
        split(is[place], b, /[ ;]/)
        for (j = 1; j <= 7; ++j)
          if (a[j] != b[j])
            text = text (text == "" ? "" : ", ") name[j] " " a[j] " -> " b[j]
        say(place, text == "" ? "another number of instances" : text)
      }
      said[place] = 1
    }
    exit found
  }' "$scratch/before" "$scratch/rows" >"$scratch/differences" || bad=1
if [ -s "$scratch/differences" ]; then
  echo "make resources: other than in $file (was -> is); make resources UPDATE=1 writes it anew"
  cat "$scratch/differences"
fi
[ $bad -ne 0 ] || echo "make resources: $kernels kernels as in $file; none spills"
exit $bad

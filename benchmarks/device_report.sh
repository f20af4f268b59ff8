#!/usr/bin/env bash
# device_report.sh OUTDIR [--backend B] [--against B2] [--quick] [--continue] [--seconds N]: the whole picture of a machine in
# one command.
#
# Configures, builds, tests, checks every kernel, trains and times the suites; ours (default: cuda) and the vendor's
# (default: cudnn, or for emulated onednn). The machine needs a C compiler, CMake and, for cuda, nvcc; no network. No setting of
# the card is changed. Every step has a time limit and a line in OUTDIR/steps.txt; when one fails the others still run, and
# everything together stays below N seconds (default 530).
#
# OUTDIR gets logs.txt (what the steps printed), steps.txt (number, step, status, seconds; tabs between), summary.txt (the same
# to read) and bench-*.json (what was measured, see fovea bench --from). --quick takes the small suite and few samples.
# --continue goes on with what an earlier report left in OUTDIR: steps that went well are not done again, and benchmarks that
# did not get to the end go on from there. The suites take some 25 minutes, so that a machine to be had for ten at a time needs
# a report and two that go on with it: all of them in f32, which is some 15, and what there is of convolutions in tf32, bf16 and
# f16, which is sampled more briefly.
#
# A kernel that breaks the device breaks it for its process. Where a check fails, every kernel is checked again in a process
# of its own; and a benchmark is begun anew behind the variant that ended it, three times.
#
# Exit status: 0 all is well, though a benchmark may have been stopped at its limit; 1 a step failed; 2 usage.
#
# From the environment:
#   FOVEA_BUILD   a build folder: nothing is configured or built
#   FOVEA_COMMIT  the commit to name, where the source tree is no repository
#   FOVEA_PREFIX  unpacked Debian packages, for a machine that lacks them: zlib1g-dev, libjansson-dev, libcmocka-dev and
#                 their libraries (without a GPU also libdnnl-dev, and its libraries with ocl-icd-libopencl1): headers in
#                 usr/include, libraries in usr/lib/ARCHITECTURE-linux-gnu
#   FOVEA_DATA    the folder with the MNIST files, instead of the shipped ones
set -u
source=$(cd "$(dirname "$0")/.." && pwd)
cores=$(nproc)

usage() {
  echo "device_report.sh: $1; usage: device_report.sh OUTDIR [--backend B] [--against B2|none] [--quick] [--continue] [--seconds N]" >&2
  exit 2
}
out='' backend=cuda against='' quick='' again='' budget=530
while [ $# -gt 0 ]; do
  case $1 in
    --backend | --against | --seconds)
      [ $# -gt 1 ] || usage "$1 needs a value"
      case $1 in --backend) backend=$2 ;; --against) against=$2 ;; *) budget=$2 ;; esac
      shift ;;
    --quick) quick=yes ;;
    --continue) again=yes ;;
    -*) usage "unknown option $1" ;;
    *) [ -z "$out" ] || usage "a second folder, $1"
       out=$1 ;;
  esac
  shift
done
[ -n "$out" ] || usage "no folder is given"
case $budget in '' | *[!0-9]* | ??????*) usage "--seconds $budget is no whole number below 100000" ;; esac
if [ -z "$against" ]; then
  case $backend in cuda) against=cudnn ;; emulated) against=onednn ;; *) against=none ;; esac
fi
mkdir -p "$out" && out=$(cd "$out" && pwd) || exit 2
[ -n "$again" ] || rm -f "$out"/bench-*.json "$out/logs.txt" "$out/steps.txt" || exit 2
touch "$out/logs.txt" "$out/steps.txt" || exit 2
scratch=$(mktemp -d) || exit 2
trap 'rm -rf "$scratch"' EXIT
export XDG_CACHE_HOME=$scratch # of the chip's limits: measured once for all benchmarks, wherever HOME is

build=${FOVEA_BUILD:-$source/build/report}
fovea=$build/fovea
if [ -n "${FOVEA_PREFIX:-}" ]; then
  FOVEA_PREFIX=$(cd "$FOVEA_PREFIX" && pwd) || usage "FOVEA_PREFIX is no folder"
  export FOVEA_PREFIX
  libraries=$FOVEA_PREFIX/usr/lib/$(uname -m)-linux-gnu
  export LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
fi

# ---- steps

earlier=$(cat "$out/steps.txt")
number=$(wc -l <"$out/steps.txt") failed=0 child='' stopped='' last=0 # last: a step's exit status
GRACE=10 # seconds that a step has left to write what it knows, when its time is up
trap 'stopped=yes; [ -z "$child" ] || kill "$child" 2>/dev/null' INT TERM

# record NAME STATUS SECONDS
record() {
  number=$((number + 1))
  printf '%02d\t%s\t%s\t%s\n' "$number" "$1" "$2" "$3" >>"$out/steps.txt"
  printf '%02d %-16s %-14s %4s s\n' "$number" "$1" "$2" "$3"
}

# went_well NAME: in the report that is continued. What was built may have been on another machine.
went_well() {
  case $1 in configure | build | build-tests) [ -x "$fovea" ] || return 1 ;; esac
  printf '%s\n' "$earlier" | grep -q "$(printf '\t%s\tok\t' "$1")"
}

# step NAME LIMIT COMMAND...: one step, for at most LIMIT seconds and what is left of all. It is told to stop by SIGTERM.
step() {
  local name=$1 limit=$2 left=$((budget - SECONDS - GRACE)) begin=$SECONDS status log
  shift 2
  last=0
  went_well "$name" && return
  last=1
  [ "$limit" -le "$left" ] || limit=$left
  if [ -n "$stopped" ] || [ "$limit" -le 0 ]; then
    failed=1
    record "$name" 'not begun' 0
    return
  fi
  log=$(printf '%s/%02d-%s.log' "$out" $((number + 1)) "$name")
  # In a session of its own, and in its foreground: exactly one SIGTERM may reach the program, which dies of a second one.
  setsid timeout --foreground -k $GRACE "$limit" "$@" >"$log" 2>&1 </dev/null &
  child=$!
  while wait "$child"; last=$?; kill -0 "$child" 2>/dev/null; do :; done # a signal cuts a wait short
  kill -KILL -- "-$child" 2>/dev/null # what a stopped build leaves behind
  child=''
  { echo "==== $name"; cat "$log"; echo; } >>"$out/logs.txt"
  rm -f "$log"
  case $last:$name in
    0:*) status=ok ;;
    124:bench-*) if [ -s "$out/$name.json" ]; then status='ok, in part'; else status='timed out'; fi ;;
    124:*) status='timed out' ;;
    137:*) status='killed' ;;
    *) status="failed ($last)" ;;
  esac
  case $status in ok*) ;; *) failed=1 ;; esac
  record "$name" "$status" $((SECONDS - begin))
}

# ---- what they do; each runs in a shell of its own, so that it can be stopped

# shellcheck disable=SC2317 # reached by own
machine() {
  uname -a
  grep -m 1 PRETTY_NAME /etc/os-release
  lscpu | grep -E 'Model name|^CPU\(s\)|L2|L3'
  free -h
  if command -v nvidia-smi >/dev/null; then
    nvidia-smi
    nvidia-smi -q -d CLOCK,PERFORMANCE,POWER,TEMPERATURE
  fi
  for tool in cc cmake nvcc; do
    command -v "$tool" >/dev/null && "$tool" --version
  done
  return 0
}

# shellcheck disable=SC2317 # reached by own
configure() {
  local arguments=(-S "$source" -B "$build" -DCMAKE_BUILD_TYPE=Release "-DFOVEA_COMMIT=${FOVEA_COMMIT:-}") capability
  command -v ninja >/dev/null && arguments+=(-G Ninja)
  [ -z "${FOVEA_PREFIX:-}" ] || arguments+=("-DCMAKE_PREFIX_PATH=$FOVEA_PREFIX/usr" "-DCMAKE_LIBRARY_PATH=$libraries")
  # For this card alone: half the time.
  capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -n 1 | tr -d .)
  case $capability in
    90) arguments+=(-DCMAKE_CUDA_ARCHITECTURES=90a) ;;
    [0-9]*) arguments+=("-DCMAKE_CUDA_ARCHITECTURES=$capability") ;;
  esac
  # oneDNN has no part in the report of a GPU; Debian's does not load without OpenCL, and then nor does the program.
  case $backend in cuda | cudnn) arguments+=(-DFOVEA_CUDA=ON -DFOVEA_ONEDNN=OFF) ;; *) arguments+=(-DFOVEA_CUDA=OFF) ;; esac
  cmake "${arguments[@]}"
}

# own NAME LIMIT FUNCTION: a step that is a function of this script.
own() {
  step "$1" "$2" bash -c "$(declare -p source build fovea backend libraries 2>/dev/null); $(declare -f "$3"); $3"
}

# Every kernel in a process of its own, some at a time: one that breaks the device, or hangs, shows what the others do.
# shellcheck disable=SC2016,SC2317 # reached by own; the quoted lines are for another shell
each() {
  "$fovea" kernels --backend "$backend" --format csv | tail -n +2 | cut -d , -f 2-5 | tr , ' ' |
    xargs -r -L 1 -P 8 bash -c '
      text=$(timeout -k 5 60 "$0" check --backend "$1" --against none --op "$2" --pass "$3" --dtype "$4" --kernel "$5" 2>&1)
      status=$?
      [ $status -ne 0 ] || text=ok
      printf "%s %s %s %s: %s\n" "$2" "$3" "$4" "$5" "$text"
      [ $status -eq 0 ]' "$fovea" "$backend"
}

# check BACKEND AGAINST LIMIT
check() {
  step "check-$1" "$3" "$fovea" check --backend "$1" --against "$2" ${cases[@]+"${cases[@]}"}
  case $last in
    0 | 2 | 126 | 127) ;; # well, or not even begun
    *) backend=$1 own "check-$1-each" 90 each ;;
  esac
}

# has DTYPE: whether the backend has kernels for conv2d in it
has() {
  "$fovea" kernels --backend "$backend" --op conv2d --dtype "$1" --format csv 2>/dev/null | tail -n +2 | grep -q .
}

# bench NAME LIMIT DTYPE SUITE...
bench() {
  local name=bench-$1 limit=$2 dtype=$3 suites=() protocol=(--least 0.02 --most 0.2) tries=4
  shift 3
  [ -z "$again" ] || limit=$budget # there is little else to do
  if [ "$dtype" != f32 ]; then
    has "$dtype" || return 0
    protocol=(--least 0.01 --most 0.1)
  fi
  [ -z "$quick" ] || protocol=(--samples 3 --least 0.001 --most 0.01)
  for suite in "$@"; do suites+=(--suite "$suite"); done
  while
    step "$name" "$limit" "$fovea" bench --backend "$backend" --against "$against" --dtype "$dtype" "${suites[@]}" \
      "${protocol[@]}" --out "$out/$name.json" --resume --format markdown
    tries=$((tries - 1))
    case $last in 0 | 2 | 124 | 137) false ;; *) [ $tries -gt 0 ] && grep -qs '"complete": false' "$out/$name.json" ;; esac
  do :; done
}

# train BACKEND. The emulator takes hours for the whole data set.
train() {
  [ "$1" != emulated ] || [ -n "${FOVEA_DATA:-}" ] || return 0
  local epochs=2
  [ -z "$quick" ] || epochs=1
  step "train-$1" 40 "$fovea" train --backend "$1" --epochs $epochs --data "${FOVEA_DATA:-$source/data/mnist}" \
    --out "$scratch/$1.safetensors"
}

# ---- the report: first what tells whether anything can be trusted, then the numbers, the most important ones first

# The unit tests that run on every backend of the build; the others need no device.
tests=(context kernel_rows loss_curve laws laws_unweighted batchnorm deformable dropout filters softmax
  values values_plain values_pooling)
[ -z "$quick" ] || tests=(suites table)
rival=$against
case $rival in none | reference) rival='' ;; esac
cases=()
[ -z "$quick" ] || cases=(--cases "$source/benchmarks/suites/small.txt")

own machine 20 machine
if [ -z "${FOVEA_BUILD:-}" ]; then
  own configure 60 configure
  step build 240 cmake --build "$build" --target fovea_program --parallel "$cores"
fi
case $backend in # what spills is slow, whatever else is measured
  cuda | cudnn) [ ! -r "$build/cuda_objects.txt" ] || step resources 30 bash "$source/benchmarks/resources.sh" "$build" ;;
esac
if ! grep -qs '^CMOCKA_LIBRARY.*-NOTFOUND' "$build/CMakeCache.txt"; then
  [ -n "${FOVEA_BUILD:-}" ] || step build-tests 60 cmake --build "$build" --parallel "$cores" --target "${tests[@]/#/test_}"
  step unit-tests 30 ctest --test-dir "$build" -R "^test_($(IFS='|'; echo "${tests[*]}"))\$" -j "$cores" \
    --no-tests=error --output-on-failure
else
  record unit-tests 'no cmocka' 0
fi
if [ "$against" = cudnn ]; then # which may be missing, and must not take everything else with it
  step probe-cudnn 60 "$fovea" check --backend cudnn --against none relu elements=64
  [ "$last" -eq 0 ] || against=none rival=''
fi
check "$backend" "$against" 90
[ -z "$rival" ] || check "$rival" none 120
train "$backend"
[ -z "$rival" ] || train "$rival"
if [ -n "$quick" ]; then
  bench small 200 f32 small
else
  convolutions=(resnet vgg first others)
  bench convolutions 120 f32 "${convolutions[@]}"
  for dtype in tf32 bf16 f16; do bench $dtype 60 $dtype "${convolutions[@]}"; done
  bench families 90 f32 mobilenet pooling transposed dilated spatial
  bench rest 60 f32 digits unshared deformable between
fi

# ---- the end

{
  card=$(nvidia-smi --query-gpu=name --format=csv,noheader 2>/dev/null | head -n 1)
  echo "${card:-no GPU}, $(date -u +%Y-%m-%dT%H:%M:%SZ), commit ${FOVEA_COMMIT:-as the records say}"
  awk -F '\t' '{ printf "%s  %-20s %-14s %5d s\n", $1, $2, $3, $4 }' "$out/steps.txt"
  echo "all together $SECONDS s"
} >"$out/summary.txt"
echo
cat "$out/summary.txt"
exit $failed

#!/usr/bin/env bash
# compute_sanitizer.sh PROGRAM [CHECK OPTIONS]: every kernel of the cuda backend on the built-in cases under NVIDIA's
# compute-sanitizer, with each of its tools. Exit status 0: nothing found; 1: something was; 2: it cannot run here.
set -uo pipefail
fovea=$1
shift
export GOMP_SPINCOUNT=1000 # else the program starts itself anew, and the tool would watch the wrong process

command -v compute-sanitizer >/dev/null || PATH=$PATH:${CUDA_PATH:-/usr/local/cuda}/bin
command -v compute-sanitizer >/dev/null || {
  echo "make sanitize: compute-sanitizer was not found: it comes with the CUDA toolkit; put it on the PATH or set CUDA_PATH" >&2
  exit 2
}
reason=$("$fovea" check --backend cuda --against none --op relu 2>&1 >/dev/null)
if [ $? -eq 2 ]; then
  echo "make sanitize: ${reason:-the cuda backend cannot be opened}" >&2
  exit 2
fi

found=0
for tool in memcheck racecheck initcheck synccheck; do
  echo "== $tool"
  compute-sanitizer --tool "$tool" --error-exitcode 9 --print-limit 10 \
    "$fovea" check --backend cuda --against none "$@" || {
    echo "make sanitize: $tool or the check under it failed" >&2
    found=1
  }
done
exit $found

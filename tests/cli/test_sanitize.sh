# tests/compute_sanitizer.sh, with stand-ins for the tool and for a machine with a GPU.
. "$(dirname "$0")/common.sh"
script=$source/tests/compute_sanitizer.sh
mkdir bin none
cat >bin/compute-sanitizer <<'SH'
#!/bin/sh
echo "$2" >>tools.txt
[ "$2" != "${FAULTY_TOOL:-}" ] || exit 9
shift 6
exec "$@"
SH
printf '#!/bin/sh\necho "$@" >>checks.txt\n' >program
chmod +x bin/compute-sanitizer program
PATH=$PWD/bin:$PATH

expect 0 "" bash "$script" ./program --op relu
[ "$(tr '\n' ' ' <tools.txt)" = "memcheck racecheck initcheck synccheck " ] || fail "tools: $(cat tools.txt)"
[ "$(grep -c -- '^check --backend cuda --against none --op relu$' checks.txt)" -ge 4 ] || fail "checks: $(cat checks.txt)"
rm tools.txt
expect 1 "racecheck or the check under it failed" env FAULTY_TOOL=racecheck bash "$script" ./program
[ "$(wc -l <tools.txt)" -eq 4 ] || fail "it stops at the first fault"
printf '#!/bin/sh\necho "fovea check: cuda: no CUDA device" >&2\nexit 2\n' >program
expect 2 "make sanitize: fovea check: cuda: no CUDA device" bash "$script" ./program
expect 2 "compute-sanitizer was not found" env PATH="$PWD/none" CUDA_PATH="$PWD/none" "$BASH" "$script" ./program
finish

#!/usr/bin/env bash
# Plants the mistakes of mutations.txt in the kernels, one at a time, and counts how many `fovea check` finds.
set -uo pipefail
usage="Usage: tests/mutate/run.sh [-j N] [--dry-run] [--sanitize] [NAME-PATTERN...]
  -j N         N copies of the tree at once (default: one per CPU)
  --dry-run    only see that every mutation still applies; builds nothing
  --list FILE  other mutations than those of mutations.txt
  --sanitize   run what survives under AddressSanitizer and UBSan too, not only where the list asks for it
Exit status: 0 every mistake was found (or is listed as equivalent), 1 not so, 2 a fault of the list or of its use."

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
# shellcheck source=tests/mutate/list.sh
. "$here/list.sh"

list=$here/mutations.txt jobs=$(nproc) dry=no sanitize=no patterns=()
while [ $# -gt 0 ]; do
  case $1 in
    -j) jobs=${2-} && shift ;;
    -j*) jobs=${1#-j} ;;
    --list) list=${2-} && shift ;;
    --dry-run) dry=yes ;;
    --sanitize) sanitize=yes ;;
    -h | --help) echo "$usage" && exit ;;
    -*) die "unknown option $1; see --help" ;;
    *) patterns+=("$1") ;;
  esac
  shift
done
[[ $jobs =~ ^[1-9][0-9]*$ ]] || die "-j '$jobs': expected a number of jobs"

[ -r "$list" ] || die "cannot read the list '$list'"
read_list "$list"
chosen=()
for m in "${!name[@]}"; do
  matches "${name[m]}" "${patterns[@]:-*}" && chosen+=("$m")
done
[ ${#chosen[@]} -gt 0 ] || die "no mutation is named like ${patterns[*]}"
misfits=0
for m in "${chosen[@]}"; do
  apply "$m" >/dev/null || misfits=$((misfits + 1))
done
[ $misfits -eq 0 ] || exit 2
if [ $dry = yes ]; then
  echo "all ${#chosen[@]} mutations apply"
  exit
fi

# ---- a copy of the tree per job ----

scratch=$(mktemp -d "${TMPDIR:-/tmp}/fovea-mutate.XXXXXX") || exit 2
workers=()
clean_up() {
  [ ${#workers[@]} -eq 0 ] || kill -TERM "${workers[@]/#/-}" 2>/dev/null # each is a process group
  wait 2>/dev/null
  rm -rf "$scratch"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

export GOMP_SPINCOUNT=1000 ASAN_OPTIONS=exitcode=99:detect_leaks=0 UBSAN_OPTIONS=exitcode=99

# build TREE FOLDER TARGET [CMAKE OPTION...]: builds in TREE/FOLDER, configuring it first where that was not done.
build() {
  local tree=$1 folder=$2 target=$3
  shift 3
  [ -e "$tree/$folder/build.ninja" ] ||
    cmake -S "$tree" -B "$tree/$folder" -G Ninja -DFOVEA_CUDA=OFF -DFOVEA_ONEDNN=OFF "$@" >"$tree/log" 2>&1 || return
  ninja -C "$tree/$folder" -j "$per_job" "$target" >"$tree/log" 2>&1
}
per_job=$((($(nproc) + jobs - 1) / jobs))
plain=(plain fovea_program -DBUILD_TESTING=OFF "-DCMAKE_CXX_FLAGS_RELEASE=-O1 -DNDEBUG") # compiled more often than run
sanitized=(sanitized fovea_program -DBUILD_TESTING=OFF -DFOVEA_SANITIZE=ON -DCMAKE_BUILD_TYPE=RelWithDebInfo)

# check PROGRAM OPERATION METHOD OUTPUT: its exit status; 124 if it does not end. A check takes seconds, sanitized ten
# times that.
check() {
  local limit=60
  [[ $1 != */sanitized/* ]] || limit=300
  timeout --foreground $limit "$1" check --backend emulated --against none --op "$2" --kernel "$3" >"$4" 2>&1
}

# checks MUTATION: operation and method of the kernels that have the mistake; all passes of a method are checked
checks() {
  tr ',' '\n' <<<"${kernels[$1]}" | while read -r op _ method; do
    method=${method:-*}
    if [ "$op" = '*' ]; then printf "%s $method\n" "${all_operations[@]}"; else echo "$op $method"; fi
  done | sort -u
}

# judge MUTATION TREE FOLDER: sets outcome and detail.
judge() {
  local m=$1 tree=$2 program=$2/$3/fovea op method status
  while read -r op method; do
    check "$program" "$op" "$method" "$tree/out" 2>/dev/null </dev/null # where the shell tells of a crash
    status=$?
    case $status in
      0) outcome=survived detail= ;;
      1) judge_verdict "$m" "$tree" "$program" ;;
      99) outcome=killed detail="$(grep -m 1 -o 'AddressSanitizer: [a-z-]*\|runtime error: .*' "$tree/out")" ;;
      124) outcome=killed detail="does not end (timeout)" ;;
      12[89] | 1[3-9]*) judge_crash $((status - 128)) "$tree" ;;
      *) outcome=fault detail="fovea check gave status $status: $(tail -n 1 "$tree/out")" ;;
    esac
    [ $outcome = survived ] || return
  done < <(checks "$m")
}

# A verdict must blame only kernels that have the mistake, and each failure must come with a line that reproduces it.
judge_verdict() {
  local m=$1 tree=$2 program=$3 verdict blamed replay status
  verdict=$(sed -n 's/^FAILED: //p' "$tree/out")
  outcome=killed
  detail="$verdict: $(sed -n 's/^FAILED emulated [^:]*: //p' "$tree/out" | head -n 1)"
  while read -r blamed; do
    kernel_matches "$blamed" "${kernels[m]}" ||
      { outcome=fault detail="the verdict blames '$blamed', the mistake is in ${kernels[m]}" && return; }
  done < <(sed 's/ and [0-9]* more kernels\{0,1\}$//; s/ ([^()]*)\(, \|$\)/\n/g' <<<"$verdict" | sed '/^$/d')
  replay=$(sed -n 's/^  replay: fovea //p' "$tree/out" | head -n 1)
  [ -n "$replay" ] || { outcome=fault detail="no line to replay: $verdict" && return; }
  timeout --foreground 60 bash -c "'$program' $replay" >"$tree/replayed" 2>&1
  status=$?
  [ $status -eq 1 ] || { outcome=fault detail="status $status from the replay: fovea $replay"; }
}

# A crash must come with last words. They name what ran when it was noticed, which may be after the mistake.
judge_crash() { # SIGNAL TREE
  local ran
  ran=$(sed -n "s/^fovea: crashed in: .* --pass \([a-z_]*\) .* --kernel \([a-z_]*\) .*'\([a-z0-9_]*\) .*/\3 \1 \2/p" "$2/out")
  outcome=killed detail="crash, signal $1, in $ran"
  [ -n "$ran" ] || outcome=fault detail="crash, signal $1, without a word about what ran"
}

build_error() { # TREE
  echo "does not compile: $(grep -m 1 -E 'error|undefined' "$1/log" || tail -n 1 "$1/log")"
}

# run_plain MUTATION TREE: sets outcome and detail by fovea check and, where the list names one, a unit test.
run_plain() {
  local m=$1 tree=$2
  if ! build "$tree" "${plain[@]}"; then
    outcome=fault detail=$(build_error "$tree")
    return
  fi
  judge "$m" "$tree" plain
  [ $outcome = survived ] && [ -n "${unit_test[m]}" ] || return
  if ! build "$tree" tested "${unit_test[m]}" -DBUILD_TESTING=ON; then
    outcome=fault detail=$(build_error "$tree")
  elif ! timeout --foreground 60 "$tree/tested/tests/${unit_test[m]}" >"$tree/out" 2>&1; then
    outcome=killed detail="${unit_test[m]}: $(sed -n 's/.*FAILED  \] \([a-z_]*\)$/\1/p' "$tree/out" | sort -u | xargs)"
  fi
}

# try MUTATION TREE: writes what became of it to results/MUTATION.
try() {
  local m=$1 tree=$2 outcome=survived detail=
  local source=$tree/kernels/${file[m]}
  apply "$m" >"$source"
  [ -n "${by_sanitizer[m]}" ] || run_plain "$m" "$tree"
  if [ $outcome = survived ] && [ "$sanitize${by_sanitizer[m]}" != no ]; then
    if build "$tree" "${sanitized[@]}"; then
      judge "$m" "$tree" sanitized
    else
      outcome=fault detail=$(build_error "$tree")
    fi
  fi
  cp "$root/kernels/${file[m]}" "$source"
  printf '%s\n%s\n' "$outcome" "$detail" >"$scratch/results/$m"
  printf '%-9s %s\n' "$outcome" "${name[m]}"
}

work() { # JOB: a mutation is taken by who first makes its folder
  local tree=$scratch/$1 m
  for m in "${chosen[@]}"; do
    mkdir "$scratch/taken/$m" 2>/dev/null && try "$m" "$tree"
  done
}

echo "building $jobs copies"
mkdir "$scratch/results" "$scratch/taken"
[ "$jobs" -le ${#chosen[@]} ] || jobs=${#chosen[@]}
for ((job = 0; job < jobs; ++job)); do
  mkdir "$scratch/$job"
  cp -R "$root"/{CMakeLists.txt,cmake,include,host,kernels,tests} "$scratch/$job"
  build "$scratch/$job" "${plain[@]}" || die "the build fails without any mutation: $(tail -n 1 "$scratch/$job/log")"
done
pristine=$scratch/0/plain/fovea
mapfile -t all_operations < <("$pristine" kernels --backend emulated --format csv | sed -n '2,$s/^[^,]*,\([^,]*\),.*/\1/p' | sort -u)
while read -r op method; do
  check "$pristine" "$op" "$method" "$scratch/out" </dev/null ||
    die "$op $method fails without any mutation: $(tail -n 1 "$scratch/out")"
done < <(for m in "${chosen[@]}"; do checks "$m"; done | sort -u)

set -m # a process group for each job, so that all it started can be stopped
for ((job = 0; job < jobs; ++job)); do
  work "$job" &
  workers+=($!)
done
set +m
wait

# ---- the table and the score ----

killed=0 equivalents=0 faults=0 survivors=0
printf '\n%-48s %-10s %s\n' mutation outcome 'blamed, and why'
for m in "${chosen[@]}"; do
  { read -r outcome && read -r detail; } <"$scratch/results/$m" || outcome=fault detail="no result"
  if [ -n "${equivalent[m]}" ]; then
    case $outcome in
      survived) outcome=equivalent detail=${equivalent[m]} ;;
      killed) outcome=fault detail="listed as equivalent, but found: $detail" ;;
    esac
  fi
  case $outcome in
    killed) killed=$((killed + 1)) ;;
    equivalent) equivalents=$((equivalents + 1)) ;;
    survived) survivors=$((survivors + 1)) detail="no case shows it: add one to tests/cases" ;;
    *) faults=$((faults + 1)) ;;
  esac
  printf '%-48s %-10s %s\n' "${name[m]}" "$outcome" "$detail"
done
echo
echo "$killed of $((${#chosen[@]} - equivalents)) killed; $survivors survived, $equivalents equivalent, $faults faults"
[ $faults -eq 0 ] || exit 2
[ $survivors -eq 0 ]

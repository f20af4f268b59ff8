# Shared by the command-line tests: arguments, a scratch folder, a small data set, assertions.
set -uo pipefail
fovea=$1 source=$2 scratch=$3
rm -rf "$scratch"
mkdir -p "$scratch"
cd "$scratch" || exit 1

failures=0
fail() {
  echo "FAILED: $*"
  failures=$((failures + 1))
}

# expect STATUS WORDS COMMAND...: the exit status, and a single line on standard error that holds WORDS ("" for none at all).
expect() {
  local status=$1 words=$2
  shift 2
  "$@" >out.txt 2>err.txt </dev/null
  local got=$?
  sed -i "/WARNING: ASan doesn't fully support makecontext/d" err.txt # the emulator's fibers, in a sanitized build
  [ $got -eq "$status" ] || fail "'$*' gave status $got, expected $status: $(cat err.txt)"
  if [ -z "$words" ]; then
    [ ! -s err.txt ] || fail "'$*' wrote to standard error: $(cat err.txt)"
  else
    [ "$(grep -cv '^Try ' err.txt)" -eq 1 ] || fail "'$*' wrote not one line: $(cat err.txt)"
    grep -qF -- "$words" err.txt || fail "'$*' said '$(cat err.txt)', expected '$words'"
  fi
}

# small_mnist FOLDER TRAIN TEST: the first images of the real data, raw.
small_mnist() {
  mkdir -p "$1"
  local name count
  for name in train:$2 t10k:$3; do
    count=${name#*:} name=${name%:*}
    { printf '\0\0\10\3'; be32 "$count"; be32 28; be32 28
      gzip -dc "$source/data/mnist/$name-images-idx3-ubyte.gz" | tail -c +17 | head -c $((count * 784)); } >"$1/$name-images-idx3-ubyte"
    { printf '\0\0\10\1'; be32 "$count"
      gzip -dc "$source/data/mnist/$name-labels-idx1-ubyte.gz" | tail -c +9 | head -c "$count"; } >"$1/$name-labels-idx1-ubyte"
  done
}
be32() { printf "\\$(printf %o $(($1 >> 24 & 255)))\\$(printf %o $(($1 >> 16 & 255)))\\$(printf %o $(($1 >> 8 & 255)))\\$(printf %o $(($1 & 255)))"; }

finish() {
  [ $failures -eq 0 ] && echo "1 passed, 0 failed"
  exit $((failures > 0))
}

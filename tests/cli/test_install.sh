# The README's C program: compiled against an installed Fovea by pkg-config and by CMake, and run on a few digits.
. "$(dirname "$0")/common.sh"
build=$(dirname "$fovea")
compiler=${CC:-cc}
flags=$4

cmake --install "$build" --prefix "$scratch/prefix" >install.txt 2>&1 || fail "cmake --install: $(tail -n 3 install.txt)"
sed -n '/^```c$/,/^```$/p' "$source/README.md" | sed '1d;$d' >digits.c
[ "$(wc -l <digits.c)" -ge 40 ] && [ "$(wc -l <digits.c)" -le 60 ] || fail "the README's program has $(wc -l <digits.c) lines"
small_mnist data 512 128

check_run() { # PROGRAM
  "$1" data >run.txt 2>&1 || fail "$1: $(cat run.txt)"
  [ "$(grep -cE '^image [0-4] shows [0-9] \([0-9.]+ % sure\), label [0-9]$' run.txt)" -eq 5 ] || fail "$1 printed $(cat run.txt)"
  "$1" no-such-folder >run.txt 2>&1 && fail "$1 accepts a folder that is not there"
}

library=$(dirname "$(find prefix -name libfovea.so)")
export PKG_CONFIG_PATH=$scratch/$library/pkgconfig LD_LIBRARY_PATH=$scratch/$library
if command -v pkg-config >/dev/null; then
  "$compiler" -std=c11 -Wall -Wextra -Werror $flags digits.c $(pkg-config --cflags --libs fovea) \
    -o by-pkg-config 2>cc.txt || fail "pkg-config: $(cat cc.txt)"
  check_run ./by-pkg-config
else
  echo "pkg-config is not installed here: its part of this test is left out"
fi

cat >CMakeLists.txt <<'END'
cmake_minimum_required(VERSION 3.22)
project(digits C)
find_package(fovea 0.1 REQUIRED)
add_executable(digits digits.c)
target_link_libraries(digits PRIVATE fovea::fovea)
END
{ cmake -B by-cmake -DCMAKE_PREFIX_PATH="$scratch/prefix" -DCMAKE_C_FLAGS="$flags" && cmake --build by-cmake; } >cmake.txt 2>&1 || fail "CMake: $(tail -n 5 cmake.txt)"
check_run by-cmake/digits

# Nothing but the public API is exported.
extra=$(nm -D --defined-only "$library/libfovea.so" | awk '$2 ~ /[TDBR]/ && $3 !~ /^__odr_asan/ {print $3}' | while read -r symbol; do
  grep -rqw -- "$symbol" "$source/include/fovea" || echo "$symbol"; done)
[ -z "$extra" ] || fail "exported, but not public: $extra"
# The installed program finds the installed data, and brings its cases.
mkdir -p elsewhere && cd elsewhere && "$scratch/prefix/bin/fovea" train --out no-such-folder/x 2>err.txt
grep -q 'no-such-folder/x' err.txt || fail "the installed program: $(cat err.txt)" # data is read before that
"$scratch/prefix/bin/fovea" check --backend emulated --op relu >out.txt 2>&1 || fail "the installed check: $(cat out.txt)"
cd ..
finish

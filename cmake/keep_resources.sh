#!/bin/sh
# keep_resources.sh NVCC ARGUMENTS...: CMake's launcher of nvcc. What ptxas -v says of each kernel (registers, memory, spills) is
# kept in OBJECT.ptxas, for benchmarks/resources.sh; everything else that the compiler says is passed on.
object='' before=''
for argument in "$@"; do
  [ "$before" != -o ] || object=$argument
  before=$argument
done
[ -n "$object" ] || exec "$@"
rm -f "$object.ptxas"
"$@" 2>"$object.messages"
status=$?
words='^ptxas info *: (Compiling entry function|Function properties|Used [0-9]|Compile time|[0-9]+ bytes gmem)|^ +[0-9]+ bytes stack frame,'
grep -vE "$words" "$object.messages" >&2
if [ $status -eq 0 ]; then
  grep -E "$words" "$object.messages" | grep -v 'Compile time' >"$object.ptxas" # the time is never the same
fi
rm -f "$object.messages"
exit $status

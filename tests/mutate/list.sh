# shellcheck shell=bash disable=SC2034,SC2154
# Reads mutations.txt, whose head tells the format, and applies one of its mutations to a kernel file.

die() {
  echo "mutate: $*" >&2
  exit 2
}

# matches NAME PATTERN...: whether one of the patterns is like the name
matches() {
  local text=$1 pattern
  shift
  for pattern in "$@"; do
    # shellcheck disable=SC2254 # a pattern
    case $text in $pattern) return 0 ;; esac
  done
  return 1
}

# kernel_matches "conv2d forward direct" "conv2d * direct_tile, linear * *"
kernel_matches() {
  local patterns
  IFS=, read -ra patterns <<<"${2//, /,}"
  matches "$1" "${patterns[@]}"
}

# Of each mutation. hunks: old text, $between, new text, $end; and so on.
name=() file=() scope=() kernels=() hunks=() unit_test=() by_sanitizer=() equivalent=()
between=$'\x1f' end=$'\x1e'

read_list() {
  local path=$1 line m=-1 number=0 last=
  local -A seen=()
  while IFS= read -r line || [ -n "$line" ]; do
    number=$((number + 1))
    case $line in '' | '#'*) continue ;; esac
    local where="$path:$number"
    [ $m -ge 0 ] || [[ $line = 'name: '* ]] || die "$where: expected 'name: ', got '$line'"
    case $line in
      'name: '*)
        m=$((m + 1)) last=
        name[m]=${line#*: }
        [ -z "${seen[${name[m]}]-}" ] || die "$where: there are two mutations ${name[m]}"
        seen[${name[m]}]=yes
        file[m]='' scope[m]='' kernels[m]='' hunks[m]='' unit_test[m]='' by_sanitizer[m]='' equivalent[m]=''
        ;;
      'file: '*) file[m]=${line#*: } ;;
      'in: '*) scope[m]=${line#*: } ;;
      'kernel: '*) kernels[m]=${line#*: } ;;
      'test: '*) unit_test[m]=${line#*: } ;;
      'sanitizer: yes') by_sanitizer[m]=yes ;;
      'equivalent: '*) equivalent[m]=${line#*: } ;;
      '- '*)
        case $last in
          -) hunks[m]+=$'\n' ;;
          +) hunks[m]+=$end ;;
        esac
        hunks[m]+=${line#- } last=-
        ;;
      '+' | '+ '*)
        case $last in
          -) hunks[m]+=$between ;;
          +) hunks[m]+=$'\n' ;;
          *) die "$where: new text without old text before it" ;;
        esac
        line=${line#+} last=+
        hunks[m]+=${line# }
        ;;
      *) die "$where: expected name, file, in, kernel, test, sanitizer, equivalent, - or +, got '$line'" ;;
    esac
  done <"$path"
  for m in "${!name[@]}"; do
    [ -f "$root/kernels/${file[m]}" ] || die "${name[m]}: no file kernels/${file[m]}"
    [ -n "${kernels[m]}" ] || die "${name[m]}: expected a line 'kernel: OPERATION PASS NAME'"
    [[ ${hunks[m]} = *"$between"* ]] || die "${name[m]}: expected lines '- old text' and '+ new text'"
  done
}

# split TEXT PART: sets head and tail to what stands before and behind PART; fails unless it is there exactly once.
split() {
  head=${1%%"$2"*}
  [ "$head" != "$1" ] || return
  tail=${1:${#head}+${#2}}
  [[ $tail != *"$2"* ]]
}

# apply MUTATION: writes the kernel file with the mistake in it; a mutation that does not fit is an error.
apply() {
  local LC_ALL=C # bytes: to search in characters takes bash ten times as long
  local m=$1 text before='' after='' hunk old head tail
  local misfit="mutate: ${name[m]} no longer applies: expected exactly once in ${file[m]}"
  text=$(cat "$root/kernels/${file[m]}" && echo x) || return
  text=${text%x}
  if [ -n "${scope[m]}" ]; then
    split "$text" "${scope[m]}" || { echo "$misfit: ${scope[m]}" >&2 && return 2; }
    before=$head text=${scope[m]}$tail
    head=${text%%$'\n}'*}
    after=${text:${#head}} text=$head
  fi
  while IFS= read -r -d "$end" hunk; do
    old=${hunk%%"$between"*}
    split "$text" "$old" || { echo "$misfit${scope[m]:+, in ${scope[m]}}: $old" >&2 && return 2; }
    text=$head${hunk#*"$between"}$tail
  done <<<"${hunks[m]}$end"
  printf '%s' "$before$text$after"
}

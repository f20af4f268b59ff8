# The commit that a build names: what git says, with whether files differ; looked up anew, and written only if it has changed.
. "$(dirname "$0")/common.sh"
commit() { cmake -DOUTPUT="$PWD/commit.h" -DSOURCE="$PWD/tree" -DGIVEN="${1:-}" -P "$source/cmake/Commit.cmake"; }
named() { sed -n 's/^#define FV_COMMIT "\(.*\)"$/\1/p' commit.h; }
export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a

mkdir tree
expect 0 "" commit
[ -z "$(named)" ] && [ -s commit.h ] || fail "without a repository: $(cat commit.h)"
expect 0 "" commit v1.2
[ "$(named)" = v1.2 ] || fail "a commit that is given: $(cat commit.h)"
expect 0 "" commit '"; #error \'
[ "$(named)" = error ] || fail "no more than a name may be given: $(cat commit.h)"

if command -v git >/dev/null; then
  # A tarball that lies within somebody's repository.
  git init -q .
  git commit -q --allow-empty -m outer
  expect 0 "" commit
  [ -z "$(named)" ] || fail "it takes the commit of the repository around the tree: $(named)"

  git init -q tree
  expect 0 "" commit
  [ -z "$(named)" ] || fail "a repository without a commit: $(named)"
  echo one >tree/file
  git -C tree add file
  git -C tree commit -q -m one
  touch tree/untracked
  expect 0 "" commit
  [ "$(named)" = "$(git -C tree rev-parse --short=12 HEAD)" ] || fail "a clean tree: $(named)"
  touch -d 2001-01-01 commit.h
  touch tree/file # as it was
  expect 0 "" commit
  [ "$(date -r commit.h +%Y)" = 2001 ] || fail "the header is written though nothing has changed"
  echo two >tree/file
  expect 0 "" commit
  [ "$(named)" = "$(git -C tree rev-parse --short=12 HEAD)-dirty" ] || fail "a changed tree: $(named)"
  git -C tree commit -q -a -m two
  expect 0 "" commit
  [ "$(named)" = "$(git -C tree rev-parse --short=12 HEAD)" ] || fail "a new commit: $(named)"
  echo broken >tree/.git/HEAD
  expect 0 "" commit
  [ -z "$(named)" ] || fail "a repository that git refuses: $(named)"
fi
finish

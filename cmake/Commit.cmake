# cmake -DOUTPUT=FILE.h -DSOURCE=DIR -DGIVEN=COMMIT -P Commit.cmake: a header with the commit that is built. It runs with every
# build and leaves the file alone while nothing has changed, so that nothing is compiled anew.
#
# The commit is GIVEN if that is not empty, else git's name for HEAD, with "-dirty" where tracked files differ from it. It is
# empty where the source tree is no repository itself (a tarball, even one unpacked within a repository), where there is no
# git, and where git refuses (the tree belongs to somebody else).
set(commit "${GIVEN}")
if(commit STREQUAL "" AND EXISTS "${SOURCE}/.git")
  get_filename_component(above "${SOURCE}/.." REALPATH)
  set(ENV{GIT_CEILING_DIRECTORIES} "${above}") # if .git is broken, that of a folder above is not meant
  find_program(git git)
  if(git)
    execute_process(COMMAND ${git} rev-parse --short=12 HEAD WORKING_DIRECTORY ${SOURCE}
      OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE failed ERROR_QUIET)
    if(failed)
      set(commit "")
    else()
      # Without locks: somebody may be committing meanwhile.
      execute_process(COMMAND ${git} --no-optional-locks status --porcelain --untracked-files=no WORKING_DIRECTORY ${SOURCE}
        OUTPUT_VARIABLE changes ERROR_QUIET)
      if(NOT changes STREQUAL "")
        string(APPEND commit "-dirty")
      endif()
    endif()
  endif()
endif()
string(REGEX REPLACE "[^A-Za-z0-9._+-]" "" commit "${commit}")
string(SUBSTRING "${commit}" 0 63 commit)

set(text "#define FV_COMMIT \"${commit}\"\n")
set(old "")
if(EXISTS "${OUTPUT}")
  file(READ "${OUTPUT}" old)
endif()
if(NOT text STREQUAL old)
  file(WRITE "${OUTPUT}" "${text}")
endif()

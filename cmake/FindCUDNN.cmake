# Finds cuDNN 9: its headers and libcudnn from one and the same place, the first of
#
#   CUDNN_INCLUDE_DIR and CUDNN_LIBRARY, if both are set
#   CUDNN_ROOT, CUDNN_PATH (CMake or environment variables)
#   the CUDA toolkit (CUDAToolkit_ROOT, CUDAToolkit_LIBRARY_ROOT, CUDA_PATH, /usr/local/cuda)
#   the system: /usr, /usr/local, with their folders by architecture
#   the Python package nvidia-cudnn-cu12 or -cu13 (also brought by PyTorch), which has libcudnn.so.9 but no libcudnn.so
#
# Defines CUDNN_FOUND, CUDNN_VERSION, CUDNN_INCLUDE_DIR, CUDNN_LIBRARY, the target CUDNN::cudnn, and CUDNN_RUNTIME_DIRS:
# the folders with libcudnn and, beside the Python package, with the cuBLAS that it loads.

# The Python packages' folders, as python3 sees them: an active virtual environment's before the system's.
function(_cudnn_python_roots result)
  set(roots "")
  if(Python3_EXECUTABLE)
    set(python ${Python3_EXECUTABLE})
  else()
    find_program(python NAMES python3 python NO_CACHE)
  endif()
  if(python)
    execute_process(
      COMMAND ${python} -c "import importlib.util as u; s = u.find_spec('nvidia'); \
print(';'.join(p + '/cudnn' for p in (s.submodule_search_locations if s else [])))"
      OUTPUT_VARIABLE roots OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  endif()
  set(${result} ${roots} PARENT_SCOPE)
endfunction()

function(_cudnn_version header result)
  set(version "")
  if(EXISTS ${header})
    file(STRINGS ${header} lines REGEX "^#define CUDNN_(MAJOR|MINOR|PATCHLEVEL) [0-9]+")
    foreach(line IN LISTS lines)
      string(REGEX MATCH "[0-9]+$" number "${line}")
      list(APPEND version ${number})
    endforeach()
    list(JOIN version "." version)
  endif()
  set(${result} "${version}" PARENT_SCOPE)
endfunction()

set(_cudnn_architecture ${CMAKE_LIBRARY_ARCHITECTURE})
if(NOT _cudnn_architecture)
  set(_cudnn_architecture ${CMAKE_SYSTEM_PROCESSOR}-linux-gnu)
endif()

if(NOT CUDNN_INCLUDE_DIR OR NOT CUDNN_LIBRARY)
  _cudnn_python_roots(_cudnn_python)
  set(_cudnn_roots ${CUDNN_ROOT} $ENV{CUDNN_ROOT} ${CUDNN_PATH} $ENV{CUDNN_PATH}
    ${CUDAToolkit_ROOT} ${CUDAToolkit_LIBRARY_ROOT} $ENV{CUDA_PATH} /usr/local/cuda
    /usr /usr/local ${_cudnn_python})
  foreach(_cudnn_root IN LISTS _cudnn_roots)
    find_path(_cudnn_header cudnn_version.h PATHS ${_cudnn_root} NO_DEFAULT_PATH NO_CACHE
      PATH_SUFFIXES include include/${_cudnn_architecture})
    find_library(_cudnn_file NAMES cudnn libcudnn.so.9 PATHS ${_cudnn_root} NO_DEFAULT_PATH NO_CACHE
      PATH_SUFFIXES lib lib64 lib/${_cudnn_architecture} lib/x64)
    _cudnn_version("${_cudnn_header}/cudnn_version.h" _cudnn_found_version)
    if(_cudnn_header AND _cudnn_file AND _cudnn_found_version MATCHES "^9\\.")
      set(CUDNN_INCLUDE_DIR ${_cudnn_header} CACHE PATH "Folder of cudnn.h" FORCE)
      set(CUDNN_LIBRARY ${_cudnn_file} CACHE FILEPATH "libcudnn" FORCE)
      break()
    endif()
    unset(_cudnn_header)
    unset(_cudnn_file)
  endforeach()
endif()
_cudnn_version("${CUDNN_INCLUDE_DIR}/cudnn_version.h" CUDNN_VERSION)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(CUDNN REQUIRED_VARS CUDNN_LIBRARY CUDNN_INCLUDE_DIR VERSION_VAR CUDNN_VERSION)
mark_as_advanced(CUDNN_INCLUDE_DIR CUDNN_LIBRARY)

if(CUDNN_FOUND)
  get_filename_component(_cudnn_folder ${CUDNN_LIBRARY} DIRECTORY)
  set(CUDNN_RUNTIME_DIRS ${_cudnn_folder})
  foreach(_cudnn_neighbour cu13 cublas)
    get_filename_component(_cudnn_other ${_cudnn_folder}/../../${_cudnn_neighbour}/lib ABSOLUTE)
    if(EXISTS ${_cudnn_other})
      list(APPEND CUDNN_RUNTIME_DIRS ${_cudnn_other})
    endif()
  endforeach()
  if(NOT TARGET CUDNN::cudnn)
    add_library(CUDNN::cudnn UNKNOWN IMPORTED)
    set_target_properties(CUDNN::cudnn PROPERTIES
      IMPORTED_LOCATION ${CUDNN_LIBRARY} INTERFACE_INCLUDE_DIRECTORIES ${CUDNN_INCLUDE_DIR})
  endif()
endif()

# Finds what the optional backends need. Sets FOVEA_HAVE_CUDA, _CUDNN and _ONEDNN and FOVEA_BACKEND_LIBRARIES, and says of each
# backend whether it is in and, if not, how to get it.
set(FOVEA_BACKEND_LIBRARIES "")

# fovea_backend(PART found "what it was found as" "remedy")
function(fovea_backend part found what remedy)
  if(FOVEA_${part} STREQUAL "OFF")
    message(STATUS "Backend ${part}: left out, FOVEA_${part}=OFF")
    set(found FALSE)
  elseif(found)
    message(STATUS "Backend ${part}: ${what}")
  elseif(FOVEA_${part} STREQUAL "AUTO")
    message(STATUS "Backend ${part}: left out, not found. ${remedy}")
  else()
    message(FATAL_ERROR "FOVEA_${part}=ON, but it was not found. ${remedy}")
  endif()
  set(FOVEA_HAVE_${part} ${found} PARENT_SCOPE)
endfunction()

# ---- CUDA: nvcc and the toolkit's libraries
set(cuda_found FALSE)
if(NOT FOVEA_CUDA STREQUAL "OFF")
  if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
    find_program(fovea_nvcc nvcc HINTS ENV CUDA_PATH PATHS /usr/local/cuda PATH_SUFFIXES bin)
    if(fovea_nvcc)
      set(ENV{CUDACXX} ${fovea_nvcc}) # not CMAKE_CUDA_COMPILER: check_language would take that on trust
    endif()
  endif()
  if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 80 90a CACHE STRING "Compute capabilities to compile for")
  endif()
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    enable_language(CUDA)
    find_package(CUDAToolkit 12)
    find_path(FOVEA_CUBLAS_INCLUDE_DIR cublas_v2.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
    if(CUDAToolkit_FOUND AND TARGET CUDA::cudart_static AND FOVEA_CUBLAS_INCLUDE_DIR)
      set(cuda_found TRUE)
    endif()
  endif()
endif()
fovea_backend(CUDA "${cuda_found}" "toolkit ${CUDAToolkit_VERSION}, architectures ${CMAKE_CUDA_ARCHITECTURES}"
  "Install the CUDA Toolkit, 12 or later, with nvcc and cuBLAS (https://developer.nvidia.com/cuda-downloads), and put nvcc \
on the PATH or set CUDA_PATH. The kernels still run on the CPU: --backend emulated.")

# ---- cuDNN
set(CUDNN_FOUND FALSE)
if(FOVEA_HAVE_CUDA AND NOT FOVEA_CUDNN STREQUAL "OFF")
  find_package(CUDNN QUIET)
endif()
fovea_backend(CUDNN "${CUDNN_FOUND}" "cuDNN ${CUDNN_VERSION}"
  "It needs CUDA and cuDNN 9: pip install nvidia-cudnn-cu13, or set CUDNN_ROOT to an unpacked cuDNN.")

# cuBLAS and cuDNN are loaded when a GPU backend opens, not linked: the program starts fast and without them. These folders
# are where the build found them; the loader's own search comes after.
if(FOVEA_HAVE_CUDA)
  include_directories(SYSTEM ${CUDAToolkit_INCLUDE_DIRS} ${FOVEA_CUBLAS_INCLUDE_DIR})
  list(APPEND FOVEA_BACKEND_LIBRARIES CUDA::cudart_static)
  set(fovea_folders ${CUDAToolkit_LIBRARY_DIR} ${CUDNN_RUNTIME_DIRS})
  list(REMOVE_DUPLICATES fovea_folders)
  list(JOIN fovea_folders ":" fovea_folders)
  add_compile_definitions(FV_CUDA_LIBRARY_PATH="${fovea_folders}")
endif()
if(FOVEA_HAVE_CUDNN)
  include_directories(SYSTEM ${CUDNN_INCLUDE_DIR})
endif()

# ---- OpenMP, for what is done to large tensors on the host while kernels are verified
find_package(OpenMP COMPONENTS C)
if(OpenMP_C_FOUND)
  list(APPEND FOVEA_BACKEND_LIBRARIES OpenMP::OpenMP_C)
endif()

# ---- oneDNN; Debian 12 has 2.6
set(DNNL_FOUND FALSE)
if(NOT FOVEA_ONEDNN STREQUAL "OFF")
  find_path(DNNL_INCLUDE_DIR oneapi/dnnl/dnnl.h)
  find_library(DNNL_LIBRARY dnnl)
  if(DNNL_INCLUDE_DIR AND DNNL_LIBRARY AND OpenMP_C_FOUND)
    set(DNNL_FOUND TRUE)
    file(STRINGS ${DNNL_INCLUDE_DIR}/oneapi/dnnl/dnnl_version.h version_lines REGEX "define DNNL_VERSION_(MAJOR|MINOR|PATCH) ")
    string(REGEX REPLACE "[^0-9]*([0-9]+)[^0-9]+([0-9]+)[^0-9]+([0-9]+).*" "\\1.\\2.\\3" DNNL_VERSION "${version_lines}")
    if(DNNL_VERSION VERSION_GREATER_EQUAL 3)
      set(DNNL_FOUND FALSE) # another API
    endif()
  endif()
endif()
fovea_backend(ONEDNN "${DNNL_FOUND}" "oneDNN ${DNNL_VERSION}"
  "Install oneDNN 2.x with OpenMP (Debian 12: apt install libdnnl-dev).")
if(FOVEA_HAVE_ONEDNN)
  list(APPEND FOVEA_BACKEND_LIBRARIES ${DNNL_LIBRARY})
  include_directories(SYSTEM ${DNNL_INCLUDE_DIR})
  # Else sqrtf might set errno, and Adam's loop would not vectorise: 0.36 instead of 0.05 ms for 215,000 parameters.
  set_source_files_properties(host/backends/onednn/plain.c PROPERTIES COMPILE_OPTIONS -fno-math-errno)
endif()

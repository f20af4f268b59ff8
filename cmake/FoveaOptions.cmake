# Options, warnings and sanitizers.
include(CTest)

option(FOVEA_SANITIZE "Build with AddressSanitizer and UndefinedBehaviorSanitizer" OFF)
option(FOVEA_WERROR "Treat warnings as errors" OFF)
foreach(part CUDA CUDNN ONEDNN)
  set(FOVEA_${part} AUTO CACHE STRING "AUTO, ON or OFF")
  set_property(CACHE FOVEA_${part} PROPERTY STRINGS AUTO ON OFF)
endforeach()

set(fovea_warnings -Wall -Wextra -Wshadow -Wconversion)
if(FOVEA_WERROR)
  list(APPEND fovea_warnings -Werror)
endif()
if(FOVEA_SANITIZE)
  set(fovea_sanitizers -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
endif()

function(fovea_link_options target)
  target_link_options(${target} PRIVATE ${fovea_sanitizers})
endfunction()

# Host compilers only; nvcc gets its own in kernels/.
function(fovea_compile_options target)
  target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:C,CXX>:${fovea_warnings};${fovea_sanitizers}>)
  fovea_link_options(${target})
endfunction()

# fovea_find_library(NAME header library): sets NAME_FOUND and defines the imported target fovea_NAME.
function(fovea_find_library name header library)
  find_path(${name}_INCLUDE_DIR ${header})
  find_library(${name}_LIBRARY ${library})
  set(found FALSE)
  if(${name}_INCLUDE_DIR AND ${name}_LIBRARY)
    set(found TRUE)
    if(NOT TARGET fovea_${name})
      add_library(fovea_${name} UNKNOWN IMPORTED GLOBAL)
      set_target_properties(fovea_${name} PROPERTIES
        IMPORTED_LOCATION ${${name}_LIBRARY} INTERFACE_INCLUDE_DIRECTORIES ${${name}_INCLUDE_DIR})
    endif()
  endif()
  set(${name}_FOUND ${found} PARENT_SCOPE)
endfunction()

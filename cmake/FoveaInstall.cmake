# `cmake --install`: program, library, headers, data, CMake package and pkg-config file.
include(CMakePackageConfigHelpers)

install(TARGETS fovea EXPORT fovea-targets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS fovea_program RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY include/fovea DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY data/mnist DESTINATION ${CMAKE_INSTALL_DATADIR}/fovea)
install(FILES LICENSE README.md DESTINATION ${CMAKE_INSTALL_DOCDIR})

install(EXPORT fovea-targets NAMESPACE fovea:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/fovea)
configure_package_config_file(cmake/fovea-config.cmake.in ${CMAKE_CURRENT_BINARY_DIR}/fovea-config.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/fovea)
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/fovea-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/fovea-config.cmake ${CMAKE_CURRENT_BINARY_DIR}/fovea-config-version.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/fovea)

# The way from the .pc file up to the prefix, so that an installation can be moved.
file(RELATIVE_PATH fovea_up /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
configure_file(cmake/fovea.pc.in ${CMAKE_CURRENT_BINARY_DIR}/fovea.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/fovea.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

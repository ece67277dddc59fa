# SPDX-License-Identifier: MIT
# cmake --install: everything that a user of the library, of the module or of the program needs.
include(CMakePackageConfigHelpers)
set(_package ${CMAKE_INSTALL_LIBDIR}/cmake/luamp)
set(_module lib/lua/5.4)

install(FILES runtime/include/luamp.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS luamp_static luamp_shared DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS luamp_module DESTINATION ${_module})
if(TARGET luamp)
  install(TARGETS luamp DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
install(FILES docs/luamp.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 OPTIONAL)
install(FILES lualib/meta/luamp.lua DESTINATION ${CMAKE_INSTALL_DATADIR}/luamp/meta OPTIONAL)
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})

# Both files find the prefix from their own place, so an installed tree can be moved.
file(RELATIVE_PATH _up /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(cmake/luamp.pc.in luamp.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/luamp.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

configure_package_config_file(cmake/luampConfig.cmake.in luampConfig.cmake
  INSTALL_DESTINATION ${_package}
  PATH_VARS CMAKE_INSTALL_INCLUDEDIR CMAKE_INSTALL_LIBDIR)
write_basic_package_version_file(luampConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/luampConfig.cmake ${PROJECT_BINARY_DIR}/luampConfigVersion.cmake
  DESTINATION ${_package})

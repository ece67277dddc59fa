# SPDX-License-Identifier: MIT
# cmake -DROOT=lualib -DFILES=luamp/a.lua,luamp/b.lua -DOUT=lualib.c -P embed.cmake
# Writes a C file with the bytes of each Lua file of the list, and the table of l_lualib.h.
string(REPLACE "," ";" FILES "${FILES}")
set(arrays "")
set(table "")
foreach(file IN LISTS FILES)
  file(READ "${ROOT}/${file}" hex HEX)
  if(hex STREQUAL "")
    message(FATAL_ERROR "${ROOT}/${file} is empty")
  endif()
  string(REGEX REPLACE "\\.lua$" "" stem "${file}")
  string(REPLACE "/" "." module "${stem}")
  string(REGEX REPLACE "^luamp/" "" ident "${stem}")
  string(MAKE_C_IDENTIFIER "${ident}" ident)
  string(LENGTH "${hex}" len)
  math(EXPR len "${len} / 2")
  string(REGEX REPLACE "(................................)" "\\1\n" hex "${hex}")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," hex "${hex}")
  string(APPEND arrays "static const unsigned char lmp_lualib_${ident}[${len}] = {\n${hex}\n};\n\n")
  string(APPEND table
    "  {\"${module}\", (const char *)lmp_lualib_${ident}, sizeof lmp_lualib_${ident}},\n")
endforeach()
file(WRITE "${OUT}" "/* Made from lualib/ by cmake/embed.cmake.
 * SPDX-License-Identifier: MIT */
#include \"lua/l_lualib.h\"

${arrays}const struct l_lualib l_lualib[] = {
${table}  {NULL, NULL, 0},
};
")

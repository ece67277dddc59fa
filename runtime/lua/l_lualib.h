/* lua/l_lualib.h: the Lua files of lualib/, as the build put them into the library.
 * SPDX-License-Identifier: MIT */
#ifndef LMP_LUA_L_LUALIB_H
#define LMP_LUA_L_LUALIB_H

#include <stddef.h>

struct l_lualib {
  const char *name;  /* as for require: "luamp.process" */
  const char *chunk; /* the source text, without a zero at its end */
  size_t len;
};

/* l_lualib: all of them; ends with a name of NULL. cmake/embed.cmake writes its definition. */
extern const struct l_lualib l_lualib[];

#endif

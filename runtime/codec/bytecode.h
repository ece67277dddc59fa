/* codec/bytecode.h: what a function of Lua 5.4 names, read from its dump.
 * SPDX-License-Identifier: MIT */
#ifndef LMP_CODEC_BYTECODE_H
#define LMP_CODEC_BYTECODE_H

#include "base/buf.h"
#include "base/err.h"

/* A piece of the dump that holds the name of a global. */
typedef struct lmp_global_name {
  size_t off;
  size_t len;
} lmp_global_name;

/* lmp_bytecode_globals: appends to `out` a lmp_global_name for each read of a global in the dumped
 * function and the functions inside it; a name may come several times. `env[i]` says that upvalue i
 * (from 0) of the function holds the table of globals. Names that are only assigned are left out.
 * LMP_E_FORMAT: not a dump of this Lua; LMP_E_NOMEM. */
LMP_NODISCARD lmp_err lmp_bytecode_globals(const void *code, size_t len, const bool *env,
                                           size_t nenv, lmp_buf *out);

#endif

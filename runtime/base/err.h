/* base/err.h: the error codes of the C layers; one X-macro for code, contract string and text.
 * SPDX-License-Identifier: MIT */
#ifndef LMP_BASE_ERR_H
#define LMP_BASE_ERR_H

#include "base/defs.h"

/*   name       string for scripts   text for people */
#define LMP_ERRORS(X)                                               \
  X(OK, "ok", "no error")                                           \
  X(TIMEOUT, "timeout", "timed out")                                \
  X(CLOSED, "closed", "closed")                                     \
  X(BROKEN, "broken", "broken")                                     \
  X(DIED, "died", "the process died")                               \
  X(REFUSED, "refused", "refused")                                  \
  X(TOOLARGE, "toolarge", "larger than the family's shared memory") \
  X(SYSTEM, "system", "system error")                               \
  X(INTR, "interrupted", "interrupted by a signal")                 \
  X(NOMEM, "nomem", "the family's shared memory is full")           \
  X(NOSLOT, "noslot", "the family's tables are full")               \
  X(GONE, "gone", "the object is gone")                             \
  X(INVAL, "invalid", "invalid argument")                           \
  X(FORMAT, "format", "the shared memory has another format")

typedef enum lmp_err {
#define X(name, code, text) LMP_E_##name,
  LMP_ERRORS(X)
#undef X
      LMP_E_COUNT
} lmp_err;

#define LMP_OK LMP_E_OK

/* lmp_err_code: the contract's string for `e` ("timeout", ...); static memory. */
const char *lmp_err_code(lmp_err e);

/* lmp_err_text: a phrase for people; static memory. */
const char *lmp_err_text(lmp_err e);

#endif

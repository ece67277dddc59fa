/* base/err.c: the tables behind err.h.
 * SPDX-License-Identifier: MIT */
#include "base/err.h"

static const char *const err_codes[] = {
#define X(name, code, text) [LMP_E_##name] = (code),
    LMP_ERRORS(X)
#undef X
};

static const char *const err_texts[] = {
#define X(name, code, text) [LMP_E_##name] = (text),
    LMP_ERRORS(X)
#undef X
};

const char *lmp_err_code(lmp_err e) { return (unsigned)e < LMP_E_COUNT ? err_codes[e] : "unknown"; }

const char *lmp_err_text(lmp_err e) {
  return (unsigned)e < LMP_E_COUNT ? err_texts[e] : "unknown error";
}

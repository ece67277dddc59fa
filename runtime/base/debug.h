/* base/debug.h: assertions and the last word of a broken invariant.
 * SPDX-License-Identifier: MIT */
#ifndef LMP_BASE_DEBUG_H
#define LMP_BASE_DEBUG_H

#include "base/defs.h"

/* lmp_panic: prints where and why on stderr and aborts: for a broken invariant of this process's own
 * code, never for what a peer or the system did. */
LMP_NORETURN LMP_COLD void lmp_panic(const char *file, int line, const char *what);

/* On in every build: cheap checks of the caller's contract. */
#define lmp_check(cond) (LMP_LIKELY(cond) ? (void)0 : lmp_panic(__FILE__, __LINE__, #cond))

/* On in debug and testing builds. */
#if defined(LUAMP_TESTING) || !defined(NDEBUG)
#define lmp_assert(cond) lmp_check(cond)
#else
#define lmp_assert(cond) ((void)0)
#endif

#endif

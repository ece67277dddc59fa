/* arena/span.h: runs of spans, for block.c and recovery.
 * SPDX-License-Identifier: MIT */
#ifndef LMP_ARENA_SPAN_H
#define LMP_ARENA_SPAN_H

#include "arena/arena.h"

/* lmp_run_alloc: `n` consecutive spans as one LARGE run owned by this context, their pages reserved.
 * LMP_E_NOMEM, LMP_E_TOOLARGE. Takes hd_run_lock. */
LMP_NODISCARD lmp_err lmp_run_alloc(lmp_me *me, uint32_t n, uint32_t *span);
/* lmp_run_free: gives back a run that this context owns. Takes hd_run_lock. */
void lmp_run_free(lmp_me *me, uint32_t span, uint32_t n);
/* lmp_run_free_dead: the same for a dead owner's run, by its reaper, without the lock. */
void lmp_run_free_dead(lmp_arena *a, uint32_t span, uint32_t n);
/* lmp_run_to_small: makes an owned run of one span a SMALL one of class `cls`. On failure it is freed. */
LMP_NODISCARD lmp_err lmp_run_to_small(lmp_me *me, uint32_t span, unsigned cls);
/* lmp_run_recount: counts the free spans with pages anew, after a death. */
void lmp_run_recount(lmp_arena *a);

#endif

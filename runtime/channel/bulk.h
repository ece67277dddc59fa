/* channel/bulk.h: many elements at once, at memory speed.
 * SPDX-License-Identifier: MIT
 *
 * `p` is the first of `n` elements of type `t`, at a multiple of their size. Others may write to them
 * meanwhile: no call is one step, but no element is torn, and none goes outside the range. */
#ifndef LMP_CHANNEL_BULK_H
#define LMP_CHANNEL_BULK_H

#include "channel/elem.h"

void lmp_bulk_fill(lmp_elem t, void *p, uint64_t n, uint64_t bits);
/* lmp_bulk_copy: as if through a buffer: the ranges may overlap. */
void lmp_bulk_copy(lmp_elem t, void *to, const void *from, uint64_t n);
/* lmp_bulk_sum: integers and BOOL (counts the trues): modulo 2^64; floats: the bits of a double, added
 * up in several partial sums, NaN if one is NaN. Not for CHAR. */
uint64_t lmp_bulk_sum(lmp_elem t, const void *p, uint64_t n);
/* lmp_bulk_least, lmp_bulk_greatest: n > 0. NaNs count only where there is nothing else. Not for BOOL. */
uint64_t lmp_bulk_least(lmp_elem t, const void *p, uint64_t n);
uint64_t lmp_bulk_greatest(lmp_elem t, const void *p, uint64_t n);
/* lmp_bulk_find: where the first element is that is the same as `bits` (lmp_elem_same); n: nowhere. */
uint64_t lmp_bulk_find(lmp_elem t, const void *p, uint64_t n, uint64_t bits);
/* lmp_bulk_sort: ascending; -0.0 before 0.0, NaNs last, all as positive ones. The work is done in private
 * memory, so elements that others write meanwhile are lost, and nothing worse happens. False: there is no
 * such memory; nothing was changed. */
LMP_NODISCARD bool lmp_bulk_sort(lmp_elem t, void *p, uint64_t n);

#endif

/* channel/queue_priv.h: what the two sides of the queue share.
 * SPDX-License-Identifier: MIT */
#ifndef LMP_CHANNEL_QUEUE_PRIV_H
#define LMP_CHANNEL_QUEUE_PRIV_H

#include "channel/segment.h"

/* lmp_queue_trim: gives the segment of an empty queue back. No lock may be held. */
void lmp_queue_trim(lmp_me *me, lmp_queue *q);

/* lmp_queue_drop: takes and forgets the first message; false when there is none. Does not touch the
 * objects that it names, beyond telling the collector. */
bool lmp_queue_drop(lmp_me *me, lmp_queue *q);

/* lmp_queue_trace: lmp_kind.trace of a queue. */
void lmp_queue_trace(lmp_me *me, lmp_obj *o);

#endif

/* codec/idmap.h: what a message holds already: from an identity to the place where it stands.
 * SPDX-License-Identifier: MIT
 *
 * Open addressing; forgetting everything is one increment, so that a map is used for one message after
 * the other without cost. */
#ifndef LMP_CODEC_IDMAP_H
#define LMP_CODEC_IDMAP_H

#include "base/defs.h"

typedef struct lmp_id {
  uint64_t key;
  uint32_t stamp; /* epoch and kind; another epoch: the entry is free */
  uint32_t aux;
  uint64_t pos;
} lmp_id;

typedef struct lmp_idmap {
  lmp_id *ids;
  uint32_t epoch; /* 0: never used */
  size_t mask;    /* size - 1; of no meaning while ids is NULL */
  size_t used;
} lmp_idmap;

#define LMP_IDMAP_KINDS 8

/* lmp_idmap_reset: forgets all entries; no memory is touched but once in 2^29 calls. */
void lmp_idmap_reset(lmp_idmap *m);
/* lmp_idmap_fini: frees the memory; a zeroed map is a legal argument. */
void lmp_idmap_fini(lmp_idmap *m);
/* lmp_idmap_find: the entry of (key, kind), kind below LMP_IDMAP_KINDS, or NULL. */
lmp_id *lmp_idmap_find(lmp_idmap *m, uint64_t key, unsigned kind);
/* lmp_idmap_add: the entry of (key, kind), made with pos = UINT64_MAX where there was none; NULL when
 * memory is out. Valid until the next add. */
LMP_NODISCARD lmp_id *lmp_idmap_add(lmp_idmap *m, uint64_t key, unsigned kind);

#endif

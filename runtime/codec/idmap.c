/* codec/idmap.c: see idmap.h.
 * SPDX-License-Identifier: MIT */
#include "codec/idmap.h"

#include <stdlib.h>
#include <string.h>

#define IDMAP_FIRST ((size_t)64)
#define IDMAP_EPOCHS (UINT32_MAX / LMP_IDMAP_KINDS)

static size_t id_slot(const lmp_idmap *m, uint64_t key, uint32_t stamp) {
  uint64_t h = (key ^ ((uint64_t)stamp << 56)) * UINT64_C(0x9E3779B97F4A7C15);
  return (size_t)(h ^ (h >> 32)) & m->mask;
}

static bool id_free(const lmp_idmap *m, const lmp_id *id) {
  return id->stamp / LMP_IDMAP_KINDS != m->epoch;
}

void lmp_idmap_reset(lmp_idmap *m) {
  m->used = 0;
  if (m->epoch++ < IDMAP_EPOCHS) return;
  if (m->ids) memset(m->ids, 0, (m->mask + 1) * sizeof(lmp_id));
  m->epoch = 1;
}

void lmp_idmap_fini(lmp_idmap *m) {
  free(m->ids);
  *m = (lmp_idmap){0};
}

/* The entry of (key, stamp), or the free one where it belongs. */
static lmp_id *id_probe(const lmp_idmap *m, uint64_t key, uint32_t stamp) {
  size_t i = id_slot(m, key, stamp);
  for (;; i = (i + 1) & m->mask) {
    lmp_id *id = &m->ids[i];
    if (id_free(m, id) || (id->key == key && id->stamp == stamp)) return id;
  }
}

lmp_id *lmp_idmap_find(lmp_idmap *m, uint64_t key, unsigned kind) {
  if (m->used == 0) return NULL;
  lmp_id *id = id_probe(m, key, m->epoch * LMP_IDMAP_KINDS + kind);
  return id_free(m, id) ? NULL : id;
}

static bool idmap_grow(lmp_idmap *m) {
  size_t size = m->ids ? (m->mask + 1) * 2 : IDMAP_FIRST;
  lmp_idmap big = {.ids = calloc(size, sizeof(lmp_id)), .epoch = m->epoch, .mask = size - 1};
  if (!big.ids) return false;
  if (big.epoch == 0) big.epoch = 1;
  for (size_t i = 0; m->ids && i <= m->mask; i++) {
    if (id_free(m, &m->ids[i])) continue;
    *id_probe(&big, m->ids[i].key, m->ids[i].stamp) = m->ids[i];
  }
  big.used = m->used;
  free(m->ids);
  *m = big;
  return true;
}

lmp_id *lmp_idmap_add(lmp_idmap *m, uint64_t key, unsigned kind) {
  if (!m->ids || m->used > m->mask / 2) {
    if (!idmap_grow(m)) return NULL;
  }
  lmp_id *id = id_probe(m, key, m->epoch * LMP_IDMAP_KINDS + kind);
  if (id_free(m, id)) {
    *id = (lmp_id){.key = key, .stamp = m->epoch * LMP_IDMAP_KINDS + kind, .pos = UINT64_MAX};
    m->used++;
  }
  return id;
}

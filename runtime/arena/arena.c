/* arena/arena.c: making, mapping and laying out the shared memory.
 * SPDX-License-Identifier: MIT */
#include "arena/arena.h"

#include <stdlib.h>
#include <string.h>

#include "base/debug.h"
#include "os/os.h"

#define DEFAULT_PROCS LMP_PROC_MAX
#define DEFAULT_CTXS LMP_CTX_MAX
#define DEFAULT_BELLS LMP_BELL_MAX
#define DEFAULT_OBJS (UINT32_C(1) << 18)
/* Pages that free spans may keep, so that large messages reuse them: first touch costs more than the
 * copy. An eighth of the memory, at most this. */
#define DIRTY_MOST (UINT64_C(128) << 20)

static lmp_arena_config with_defaults(const lmp_arena_config *config) {
  lmp_arena_config c = *config;
  if (c.nproc == 0) c.nproc = DEFAULT_PROCS;
  if (c.nctx == 0) c.nctx = DEFAULT_CTXS;
  if (c.nbell == 0) c.nbell = DEFAULT_BELLS;
  if (c.nobj == 0) c.nobj = DEFAULT_OBJS;
  return c;
}

/* Offsets of the tables, in the order of layout.h; returns the size of all. */
static uint64_t lay_out(const lmp_arena_config *c, lmp_hdr *h) {
  uint64_t nspan = c->memory / LMP_SPAN;
  uint64_t at = LMP_PAGE;
  h->hd_nproc = c->nproc;
  h->hd_nctx = c->nctx;
  h->hd_nbell = c->nbell;
  h->hd_nobj = c->nobj;
  h->hd_nspan = (uint32_t)nspan;
  h->hd_proc_off = at;
  at = lmp_round_up(at + (uint64_t)c->nproc * sizeof(lmp_proc), LMP_PAGE);
  h->hd_ctx_off = at;
  at = lmp_round_up(at + (uint64_t)c->nctx * sizeof(lmp_ctx), LMP_PAGE);
  h->hd_bell_off = at;
  at = lmp_round_up(at + (uint64_t)c->nbell * sizeof(lmp_bell), LMP_PAGE);
  h->hd_obj_off = at;
  at = lmp_round_up(at + (uint64_t)c->nobj * sizeof(lmp_obj), LMP_PAGE);
  h->hd_map_off = at;
  at = lmp_round_up(at + nspan * sizeof(lmp_span), LMP_PAGE);
  h->hd_tag_off = at;
  at = lmp_round_up(at + nspan * LMP_TAGS * sizeof(uint16_t), LMP_SPAN);
  h->hd_span_off = at;
  h->hd_size = at + nspan * LMP_SPAN;
  return h->hd_size;
}

uint64_t lmp_arena_size(const lmp_arena_config *config) {
  lmp_hdr h = {0};
  lmp_arena_config c = with_defaults(config);
  return lay_out(&c, &h);
}

static void arena_view(lmp_arena *a, void *base) {
  lmp_hdr *h = base;
  a->base = base;
  a->h = h;
  a->procs = lmp_at(a, h->hd_proc_off);
  a->ctxs = lmp_at(a, h->hd_ctx_off);
  a->bells = lmp_at(a, h->hd_bell_off);
  a->objs = lmp_at(a, h->hd_obj_off);
  a->map = lmp_at(a, h->hd_map_off);
  a->tags = lmp_at(a, h->hd_tag_off);
  a->size = h->hd_size;
  a->dirty_max = (uint32_t)(lmp_min_u64(h->hd_nspan / 8, DIRTY_MOST / LMP_SPAN));
}

void lmp_arena_format(lmp_arena *a, void *base, uint64_t size, const lmp_arena_config *config) {
  lmp_hdr *h = base;
  lmp_arena_config c = with_defaults(config);
  lmp_check(lay_out(&c, h) <= size);
  lmp_check(c.nproc <= LMP_PROC_MAX && c.nctx <= LMP_CTX_MAX && c.nbell <= LMP_BELL_MAX);
  lmp_proc *procs = (lmp_proc *)(void *)((uint8_t *)base + h->hd_proc_off);
  for (uint32_t i = 0; i < c.nproc; i++) procs[i].pr_creator = UINT32_MAX; /* see lmp_proc_claim */
  h->hd_gc_epoch = 1;
  h->hd_obj_hint = h->hd_obj_hwm = 1; /* slot 0 is never used: {0, 0} names nothing */
  h->hd_format = LMP_FORMAT;
  lmp_store_rel64(&h->hd_magic, LMP_MAGIC);
  arena_view(a, base);
}

static lmp_err arena_try(lmp_arena *a, const lmp_arena_config *c) {
  if (c->memory / LMP_SPAN > UINT32_MAX) return LMP_E_NOMEM;
  uint64_t size = lmp_arena_size(c);
  void *base;
  lmp_err e = lmp_os_memfd("luamp", size, true, &a->fd);
  if (e) return e;
  e = lmp_os_map(a->fd, size, &base);
  if (e) goto fail;
  e = LMP_E_NOMEM;
  if (!lmp_os_reserve(a->fd, 0, LMP_PAGE + c->nproc * sizeof(lmp_proc))) goto fail_map;
  lmp_arena_format(a, base, size, c);
  lmp_os_random(a->h->hd_key, sizeof a->h->hd_key);
  return LMP_OK;

fail_map:
  lmp_os_unmap(base, size);
fail:
  lmp_os_close(a->fd);
  a->fd = -1;
  return e;
}

lmp_err lmp_arena_create(lmp_arena *a, const lmp_arena_config *config) {
  lmp_arena_config c = with_defaults(config);
  *a = (lmp_arena){.fd = -1, .life_fd = -1, .cpus = lmp_os_cpus()};
  if (c.memory < LMP_ARENA_LEAST) return LMP_E_INVAL;
  lmp_err e = arena_try(a, &c);
  while (e == LMP_E_NOMEM && c.shrink && c.memory / 2 >= LMP_ARENA_LEAST) {
    c.memory /= 2;
    e = arena_try(a, &c);
  }
  if (e) return e;
  a->refs = calloc(a->h->hd_nobj, sizeof *a->refs);
  if (!a->refs || pthread_mutex_init(&a->mu, NULL)) {
    lmp_arena_close(a);
    return LMP_E_NOMEM;
  }
  e = lmp_os_memfd("luamp-life", a->h->hd_nproc, false, &a->life_fd);
  if (e) lmp_arena_close(a);
  return e;
}

void lmp_arena_close(lmp_arena *a) {
  if (a->base) lmp_os_unmap(a->base, a->size);
  lmp_os_close(a->fd);
  lmp_os_close(a->life_fd);
  free(a->refs);
  *a = (lmp_arena){.fd = -1, .life_fd = -1};
}

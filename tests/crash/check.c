/* crash/check.c: the invariants of an arena at rest.
 * SPDX-License-Identifier: MIT */
#include "check.h"

#include "channel/array.h"
#include "channel/dict.h"
#include "channel/list.h"
#include "channel/segment.h"
#include "sync/barrier.h"
#include "sync/semaphore.h"

static const check_env *env;

static lmp_arena *arena(void) { return env->me->a; }
static void fail(const char *what) { env->fail(what); }

static bool proc_alive(uint32_t slot) {
  return slot < arena()->h->hd_nproc && lmp_proc_state(arena(), slot) == LMP_PROC_ALIVE &&
         env->proc_lives(slot);
}

/* -- contexts and processes ---------------------------------------------------------------------- */

static void check_ctx(uint32_t i) {
  lmp_ctx *c = &arena()->ctxs[i];
  uint32_t state = c->cx_state;
  if ((state & 0xff) == LMP_CTX_TAKING) fail("a context stays half taken");
  if ((state & 0xff) == LMP_CTX_LIVE) {
    if (!env->ctx_lives(i + 1)) fail("a dead context is not reaped");
    if (!proc_alive(state >> 8)) fail("a context of no live process");
  }
  if (LMP_CLAIM_ID(c->cx_reaper)) fail("a reaper's claim of a context stays");
  if (env->ctx_sleeps(i + 1)) return;
  for (unsigned k = 0; k < LMP_WANTS; k++) {
    if (c->cx_want[k]) fail("a context wants a lock for ever");
  }
  for (unsigned k = 0; k < LMP_PWAKES; k++) {
    if (c->cx_pwake[k]) fail("a context owes a wake for ever");
  }
  if (c->cx_txn) fail("a transaction stays committed and not done");
  if (c->cx_wait_n) fail("a wait record stays");
}

static void check_bells(void) {
  for (uint32_t i = 0; i < arena()->h->hd_nbell; i++) {
    uint32_t owner = arena()->bells[i].be_owner;
    if (owner && !proc_alive(owner - 1)) fail("a bell of no live process");
  }
}

static void check_procs(void) {
  for (uint32_t i = 0; i < arena()->h->hd_proc_hwm; i++) {
    lmp_proc *p = &arena()->procs[i];
    if (LMP_CLAIM_ID(p->pr_reaper)) fail("a reaper's claim of a process stays");
    if (lmp_proc_state(arena(), i) == LMP_PROC_ALIVE && !env->proc_lives(i))
      fail("a dead process is not reaped");
    if (lmp_proc_state(arena(), i) == LMP_PROC_DEAD) fail("a process stays dead");
    if (lmp_proc_state(arena(), i) == LMP_PROC_STARTING) fail("a process starts for ever");
  }
}

/* -- spans -------------------------------------------------------------------------------------- */

static uint32_t shared_tags(uint32_t s) {
  uint16_t *tags = &arena()->tags[(size_t)s * LMP_TAGS];
  bool small = LMP_SPAN_STATE(arena()->map[s].sp_word) == LMP_SPAN_SMALL;
  uint32_t n = 0;
  for (uint32_t i = 0; i < LMP_TAGS; i++) {
    if (tags[i] == 0) continue;
    if (!small) fail("a tag on a span that has no blocks");
    if (tags[i] == LMP_TAG_SHARED) {
      n++;
    } else if (!env->ctx_lives(tags[i])) {
      fail("A2: a tag of nobody who lives");
    }
  }
  return n;
}

/* Returns how many blocks are shared. */
static uint32_t check_spans(void) {
  uint32_t hwm = arena()->h->hd_span_hwm;
  uint32_t shared = 0;
  uint32_t s = 0;
  if (hwm > arena()->h->hd_nspan) fail("the span map is longer than the memory");
  while (s < hwm) {
    uint64_t w = arena()->map[s].sp_word;
    uint32_t len = LMP_SPAN_LEN(w);
    unsigned state = LMP_SPAN_STATE(w);
    if (len == 0 || s + len > hwm) fail("R1: the run map has a gap");
    if (state == LMP_SPAN_LARGE) {
      uint32_t owner = LMP_SPAN_OWNER(w);
      if (owner == LMP_TAG_SHARED) {
        shared++;
      } else if (!env->ctx_lives(owner)) {
        fail("A2: a run of nobody who lives");
      }
    } else if (state == LMP_SPAN_SMALL) {
      if (len != 1) fail("a small span is longer than one");
      if (!arena()->map[s].sp_tagged) fail("a small span without tags");
    } else if (state != LMP_SPAN_FREE) {
      fail("a span of no state");
    }
    for (uint32_t k = s; k < s + len; k++) shared += shared_tags(k);
    for (uint32_t k = s + 1; k < s + len; k++) {
      if (LMP_SPAN_STATE(arena()->map[k].sp_word) != LMP_SPAN_FREE) fail("R3: inside of a run");
    }
    s += len;
  }
  for (s = hwm; s < arena()->h->hd_nspan; s++) {
    if (shared_tags(s)) fail("tags beyond the used spans");
  }
  return shared;
}

/* -- objects ------------------------------------------------------------------------------------ */

static uint32_t queue_blocks(lmp_obj *o) {
  lmp_queue *q = lmp_queue_of(o);
  uint64_t off = q->qh_seg ? q->qh_seg : q->qt_first;
  lmp_qpos pos = q->qh_pos;
  uint32_t n = 0;
  while (off) {
    lmp_seg *seg = lmp_seg_at(arena(), off);
    uint32_t end =
        seg->sg_next ? lmp_seg_at(arena(), seg->sg_next)->sg_base : lmp_qpos_cells(q->qt_pos);
    n++;
    while (lmp_qpos_cells(pos) != end) {
      const lmp_cell *cell = lmp_seg_cell(seg, lmp_qpos_cells(pos));
      n += cell->ce_kind == LMP_CELL_BLOCK;
      pos = lmp_qpos_add(pos, lmp_cell_count(cell), 1);
    }
    off = seg->sg_next;
  }
  return n;
}

static void check_holders(const lmp_obj *o) {
  for (uint32_t slot = 0; slot < LMP_PROC_MAX; slot++) {
    if (!(o->ob_holders[slot / 64] >> slot % 64 & 1)) continue;
    if (!proc_alive(slot)) fail("a holder bit of no live process");
  }
}

/* Blocks of objects that are no queues. */
static uint32_t other_blocks(const lmp_obj *o) {
  uint32_t n = 0;
  const char *bad = NULL;
  if (o->ob_kind == LMP_KIND_LARGE) return *(const uint64_t *)(const void *)o->ob_body != 0;
  if (o->ob_kind == LMP_KIND_DICT) bad = lmp_dict_valid(env->me, (lmp_obj *)(uintptr_t)o, &n);
  if (o->ob_kind == LMP_KIND_LIST) bad = lmp_list_valid(env->me, (lmp_obj *)(uintptr_t)o, &n);
  if (bad) fail(bad);
  if (n) return n;
  if (o->ob_kind == LMP_KIND_VALUE || o->ob_kind == LMP_KIND_ARRAY) {
    return lmp_array_of(o)->ar_data != 0;
  }
  const lmp_barrier *b = lmp_barrier_of(o);
  if (o->ob_kind == LMP_KIND_BARRIER) return (b->ba_block ? 1u : 0u) + (b->ba_action ? 1u : 0u);
  return o->ob_kind == LMP_KIND_BOUNDED && lmp_bounded_of(o)->bs_block != 0;
}

/* Returns the blocks that are reachable. */
static uint32_t check_objects(void) {
  uint32_t blocks = 0;
  for (uint32_t i = 1; i < arena()->h->hd_obj_hwm; i++) {
    lmp_obj *o = lmp_obj_at(arena(), i);
    unsigned state = o->ob_state & 0xff;
    if (state == LMP_OBJ_FREE) continue;
    if (state != LMP_OBJ_LIVE) fail("an object stays between two states");
    if (o->ob_lock) fail("the lock of an object is held");
    check_holders(o);
    if (o->ob_name) {
      if (lmp_block_owner(arena(), o->ob_name) != LMP_TAG_SHARED) fail("a name is not tagged");
      blocks++;
    }
    blocks += other_blocks(o);
    if (o->ob_kind != LMP_KIND_QUEUE && o->ob_kind != LMP_KIND_STREAM) continue;
    const char *bad = lmp_queue_valid(env->me, o);
    if (bad) fail(bad);
    blocks += queue_blocks(o);
  }
  return blocks;
}

void check_arena(const check_env *e) {
  env = e;
  lmp_hdr *h = arena()->h;
  if (h->hd_run_lock || h->hd_gc_lock) fail("a lock of the arena is held");
  for (uint32_t i = 0; i < h->hd_ctx_hwm; i++) check_ctx(i);
  check_procs();
  check_bells();
  uint32_t shared = check_spans();
  if (shared != check_objects()) fail("A1: shared tags and reachable blocks differ");
}

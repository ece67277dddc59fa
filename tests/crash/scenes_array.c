/* crash/scenes_array.c: Values and Arrays: players, scenes, and what must hold at the end.
 * SPDX-License-Identifier: MIT */
#include <string.h>

#include "channel/array.h"
#include "channel/shared.h"
#include "sync/lock.h"
#include "world.h"

typedef struct ledger {
  uint64_t room[4]; /* where scenes of locks have their handles: none */
  lmp_handle array; /* held by all */
  lmp_handle shared;
  lmp_handle rlock;     /* what some member was told to be the array's lock */
  uint32_t begun, done; /* additions */
} ledger;
_Static_assert(sizeof(ledger) <= WORLD_ROOM, "put back for each schedule");

static ledger *now(void) { return (ledger *)(void *)world_w.room; }
static sim_member *checker(void) { return &sim_k.m[SIM_M]; }
static lmp_obj *array(void) { return world_obj(now()->array); }

/* -- players ------------------------------------------------------------------------------------ */

#define ELEMS 40u /* times 8: in the body; more go into a block */

static void make_one(sim_member *m, uint64_t len) {
  lmp_handle h;
  lmp_err e =
      lmp_array_new(&m->me, LMP_KIND_ARRAY, LMP_EL_U64, len, "a name of many letters", 22, &h);
  if (e == LMP_E_NOMEM) return;
  if (e) sim_fail("no array");
  const uint64_t *p = lmp_array_data(&m->a, world_obj(h));
  for (uint64_t i = 0; i < len; i++) {
    if (p[i]) sim_fail("a new element is not zero");
  }
  memset(lmp_array_data(&m->a, world_obj(h)), 0xff, len * 8);
  lmp_obj_unref(&m->me, h);
}
static void make(sim_member *m) { make_one(m, ELEMS + 1); }
static void make_twice(sim_member *m) {
  make_one(m, ELEMS + 1);
  make_one(m, ELEMS);
}

/* Only a message names the array, whoever made it. */
static void send(sim_member *m) {
  lmp_handle h;
  lmp_err e = lmp_array_new(&m->me, LMP_KIND_ARRAY, LMP_EL_U64, ELEMS + 1, NULL, 0, &h);
  if (e == LMP_E_NOMEM) return;
  if (e) sim_fail("no array");
  world_put(m, 0, WORLD_ID(m - sim_k.m, 0), 5, h, LMP_FOREVER);
  lmp_obj_unref(&m->me, h);
}
static void take(sim_member *m) { world_get(m, 0, 1, LMP_NOWAIT); }

/* Takes hold of the array's lock, and lets go of it. */
static void lock_it(sim_member *m) {
  lmp_handle h;
  bool abandoned;
  if (lmp_array_rlock(&m->me, array(), &h)) sim_fail("no lock");
  lmp_obj_ref(&m->me, h);
  lmp_handle known = now()->rlock;
  if (known.obj && (known.obj != h.obj || known.gen != h.gen)) sim_fail("another lock");
  now()->rlock = h;
  if (!lmp_obj_get(&m->a, h)) sim_fail("the lock of an array is gone");
  lmp_err e = lmp_lock_acquire(&m->me, world_obj(h), LMP_NOWAIT, &abandoned);
  if (!e) e = lmp_lock_release(&m->me, world_obj(h));
  if (e && e != LMP_E_TIMEOUT) sim_fail("the lock of an array is none");
  lmp_obj_unref(&m->me, h);
}

static void collect(sim_member *m) {
  lmp_collect(&m->me);
  lmp_collect(&m->me);
}

/* V holds the block; after that only the view does. */
static void view_it(sim_member *m) {
  lmp_handle h;
  if (lmp_array_view(&m->me, LMP_EL_U8, 10, now()->shared, 0, &h)) sim_fail("no view");
  lmp_obj_unref(&m->me, now()->shared);
  for (unsigned i = 0; i < 3; i++) {
    lmp_handle shared = lmp_array_shared(world_obj(h));
    if (shared.obj != now()->shared.obj) sim_fail("a view of something else");
    if (!lmp_obj_get(&m->a, shared)) sim_fail("the block of a view is gone");
  }
  lmp_obj_unref(&m->me, h);
}

static void add(sim_member *m) {
  uint64_t *p = lmp_array_data(&m->a, array());
  for (unsigned i = 0; i < 3; i++) {
    now()->begun++;
    lmp_elem_add(LMP_EL_I64, p, 1);
    lmp_elem_add(LMP_EL_F64, p + 1, lmp_bits_f64(1));
    now()->done++;
  }
}

/* -- settings ----------------------------------------------------------------------------------- */

static void nothing(void) {}
static void a_queue(void) { world_queue(0, 0); }
static void an_array(void) {
  if (lmp_array_new(&checker()->me, LMP_KIND_ARRAY, LMP_EL_U64, 2, NULL, 0, &now()->array)) {
    sim_fail("set-up");
  }
  world_share(now()->array);
  world_w.objects = 2; /* with its lock, which finish asks for */
}
static void a_block(void) {
  static const uint64_t id[2] = {1, 2};
  if (lmp_shared_new(&sim_k.m[SIM_V].me, "block", 5, 10, id, &now()->shared)) sim_fail("set-up");
}

/* -- the end ------------------------------------------------------------------------------------ */

static bool rightly(const lmp_obj *o, const sim_member *s) {
  (void)o, (void)s;
  return false;
}
static void relieve(lmp_obj *o, const sim_member *s) { (void)o, (void)s; }

static void finish(lmp_obj *o) {
  const lmp_array *ar = lmp_array_of(o);
  lmp_handle h;
  if (ar->ar_lock) sim_fail("the lock of an array's handles is held");
  if (o != array()) return;
  if (lmp_array_rlock(&checker()->me, o, &h)) sim_fail("no lock afterwards");
  if (!lmp_obj_get(&checker()->a, h)) sim_fail("an array names a lock that is gone");
  const uint64_t *p = lmp_array_data(&checker()->a, o);
  double f = lmp_f64_of(p[1]);
  if (p[0] < now()->done || p[0] > now()->begun) sim_fail("an addition was lost or doubled");
  if (f < now()->done || f > now()->begun) sim_fail("an addition of floats was lost or doubled");
}

static void finish_shared(lmp_obj *o) { (void)o; }

const world_kind array_kinds[] = {
    {LMP_KIND_VALUE, &lmp_value_kind, rightly, relieve, finish},
    {LMP_KIND_ARRAY, &lmp_array_kind, rightly, relieve, finish},
    {LMP_KIND_SHARED, &lmp_shared_kind, rightly, relieve, finish_shared},
    {0},
};

#define V 1u
#define P 2u
#define Q 4u

const scene array_scenes[] = {
    {"array_make", nothing, {make, make_twice}, V | P, false},
    {"array_send", a_queue, {send, take}, V | P, false},
    {"array_lock", an_array, {lock_it, lock_it}, V | P, false},
    {"array_lock_collect", an_array, {lock_it, collect, lock_it}, V | P | Q, false},
    {"array_view", a_block, {view_it, collect}, V | P, false},
    {"array_add", an_array, {add, add, add}, V | P | Q, false},
    {0},
};

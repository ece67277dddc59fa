/* crash/scenes_dict.c: dicts and lists: players, scenes, and what must hold at the end.
 * SPDX-License-Identifier: MIT */
#include <string.h>

#include "channel/dict_priv.h"
#include "channel/list.h"
#include "world.h"

#define KEYS 16u
#define LARGE (LMP_ENTRY_COPY_MAX + 200u)

/* What is known of a key. One that has one writer has versions: each store or deletion is the next one. One that several
 * add to has a sum. */
typedef struct known {
  uint8_t begun, done; /* versions; for a sum: additions */
  uint16_t deleted;    /* bit for each version that deletes */
  bool sum;
} known;

typedef struct ledger {
  lmp_handle d;
  uint32_t inside[KEYS]; /* member + 1 that holds the key */
  known key[KEYS];
  bool cleared;             /* or about to be: all entries are there, or none */
  uint8_t put[32], got[32]; /* of a list: 1 begun, 2 done */
} ledger;
_Static_assert(sizeof(ledger) <= WORLD_ROOM, "put back for each schedule");

static ledger *now(void) { return (ledger *)(void *)world_w.room; }
static unsigned who(const sim_member *m) { return (unsigned)(m - sim_k.m); }
static sim_member *checker(void) { return &sim_k.m[SIM_M]; }
static lmp_obj *thing(void) { return world_obj(now()->d); }

/* Key k: of stripe 0, so that they meet, but for the last four, which are of the others. */
static lmp_dkey key_of(unsigned k) {
  static char bytes[KEYS][4];
  static lmp_dkey keys[KEYS];
  static uint64_t seed;
  if (seed != lmp_dict_of(thing())->di_seed) {
    uint32_t n = 0;
    for (unsigned i = 0; i < KEYS; i++) {
      do {
        n++;
        memcpy(bytes[i], &n, 4);
        keys[i] = lmp_dict_key(thing(), bytes[i], 4);
      } while (keys[i].order % LMP_DICT_STRIPES != (i < KEYS - 4 ? 0 : i % LMP_DICT_STRIPES));
    }
    seed = lmp_dict_of(thing())->di_seed;
  }
  return keys[k];
}

/* -- values: a head of key and version, then bytes that follow from it --------------------------- */

static uint8_t bytes_in[SIM_MEMBERS][LARGE];
static uint64_t bytes_out[SIM_MEMBERS][LMP_ENTRY_COPY_MAX / 8];

static lmp_msg value_of(sim_member *m, unsigned k, unsigned version, size_t size, lmp_iov *iov) {
  uint8_t *b = bytes_in[who(m)];
  b[0] = (uint8_t)k;
  b[1] = (uint8_t)version;
  for (size_t i = 2; i < size; i++) b[i] = (uint8_t)(k * 7 + version * 3 + i);
  *iov = (lmp_iov){b, size};
  return (lmp_msg){.iov = iov, .niov = 1, .len = size};
}

static unsigned version_of(const lmp_out *out, unsigned k) {
  if (out->len < 2 || out->data[0] != k) sim_fail("the value of another key");
  for (size_t i = 2; i < out->len; i++) {
    if (out->data[i] != (uint8_t)(k * 7 + out->data[1] * 3 + i)) sim_fail("a value is torn");
  }
  return out->data[1];
}

/* A version that is seen by who looked between `done` and now. */
static void check_seen(unsigned k, bool found, unsigned version, unsigned done) {
  const known *x = &now()->key[k];
  if (x->sum) {
    if (!found) version = 0;
    if (version < done || version > x->begun) sim_fail("an addition was lost, or came twice");
    return;
  }
  if (found) {
    if (version < done || version > x->begun || (x->deleted >> version & 1))
      sim_fail("a value that is not there now");
    return;
  }
  for (unsigned v = done; v <= x->begun; v++) {
    if (v == 0 || (x->deleted >> v & 1)) return;
  }
  sim_fail("an entry is missing");
}

static lmp_err write(sim_member *m, lmp_dop *op, uint64_t deadline) {
  lmp_err e;
  do {
    e = lmp_dict_write(&m->me, thing(), op, deadline);
  } while (e == LMP_E_INTR);
  return e;
}

static void store(sim_member *m, unsigned k, size_t size) {
  known *x = &now()->key[k];
  lmp_iov iov;
  x->begun++;
  lmp_msg msg = value_of(m, k, x->begun, size, &iov);
  lmp_dop op = {.key = key_of(k), .value = &msg};
  if (write(m, &op, LMP_FOREVER)) sim_fail("store");
  x->done = x->begun;
}

static void delete (sim_member *m, unsigned k) {
  known *x = &now()->key[k];
  lmp_out out = {0};
  x->begun++;
  x->deleted |= (uint16_t)(1u << x->begun);
  unsigned done = x->done;
  lmp_dop op = {.key = key_of(k), .out = &out};
  if (write(m, &op, LMP_FOREVER)) sim_fail("delete");
  if (out.found != op.changed) sim_fail("delete: result and entry differ");
  if (out.found && version_of(&out, k) != done) sim_fail("another entry was deleted");
  if (done && !out.found && !(x->deleted >> done & 1)) sim_fail("the entry was gone");
  lmp_out_done(&m->me, &out);
  x->done = x->begun;
}

/* -- sums ------------------------------------------------------------------------------------------ */

static lmp_dact add_one(void *arg, lmp_entry *old, lmp_entry *fresh) {
  uint8_t *to = lmp_entry_value(fresh);
  to[0] = *(uint8_t *)arg;
  to[1] = old ? (uint8_t)(lmp_entry_value(old)[1] + 1) : 1;
  fresh->en_vlen = 2;
  return LMP_DICT_STORE;
}

static void incr(sim_member *m, unsigned k) {
  known *x = &now()->key[k];
  uint8_t name = (uint8_t)k;
  x->sum = true;
  x->begun++;
  lmp_dop op = {.key = key_of(k), .room = 2, .decide = add_one, .arg = &name};
  if (write(m, &op, LMP_FOREVER)) sim_fail("incr");
  x->done++;
}

static bool dead(unsigned i) { return sim_k.m[i].state == SIM_DEAD; }

static void enter_hold(sim_member *m, unsigned k) {
  uint32_t in = now()->inside[k];
  if (in && !dead(in - 1)) sim_fail("two hold a key");
  now()->inside[k] = who(m) + 1;
}

/* Reads, computes, and stores what it computed; `keep`: or lets go without. */
static void update(sim_member *m, unsigned k, bool keep) {
  known *x = &now()->key[k];
  lmp_out out = {.buf = (uint8_t *)bytes_out[who(m)], .cap = sizeof bytes_out[0]};
  lmp_dkey key = key_of(k);
  size_t need;
  lmp_err e;
  lmp_iov iov;
  x->sum = true;
  do {
    e = lmp_dict_hold(&m->me, thing(), &key, LMP_FOREVER);
  } while (e == LMP_E_INTR);
  if (e) sim_fail("hold");
  enter_hold(m, k);
  if (!lmp_dict_get(&m->me, thing(), &key, &out, &need)) sim_fail("get");
  unsigned version = out.found ? version_of(&out, k) : 0;
  lmp_out_done(&m->me, &out);
  now()->inside[k] = 0;
  if (keep) {
    lmp_dict_release(&m->me, thing(), &key);
    return;
  }
  lmp_msg msg = value_of(m, k, version + 1, 2, &iov);
  lmp_dop op = {.key = key, .value = &msg, .held = true};
  x->begun++;
  if (write(m, &op, LMP_FOREVER)) sim_fail("write with a hold");
  x->done++;
}

/* -- reading -------------------------------------------------------------------------------------- */

/* A large value that is being read in place is not given back meanwhile. */
static void check_block(const sim_member *m, const lmp_out *out) {
  if (!out->found || out->data == NULL || out->len <= LMP_ENTRY_COPY_MAX) return;
  if (lmp_block_owner(&m->a, lmp_off(&m->a, out->data)) != LMP_TAG_SHARED)
    sim_fail("a value that is being read is gone");
}

static void look(sim_member *m, unsigned k) {
  lmp_out out = {.buf = (uint8_t *)bytes_out[who(m)], .cap = sizeof bytes_out[0]};
  lmp_dkey key = key_of(k);
  size_t need;
  unsigned done = now()->key[k].done;
  if (!lmp_dict_get(&m->me, thing(), &key, &out, &need)) sim_fail("get");
  check_seen(k, out.found, out.found ? version_of(&out, k) : 0, done);
  check_block(m, &out);
  lmp_out_done(&m->me, &out);
}

/* Keys that have been there throughout are met once. */
static void walk(sim_member *m) {
  unsigned met[KEYS] = {0};
  bool there[KEYS];
  unsigned done[KEYS];
  uint8_t at[4];
  size_t need;
  lmp_dkey key = {0};
  for (unsigned k = 0; k < KEYS; k++) {
    const known *x = &now()->key[k];
    done[k] = x->done;
    there[k] = x->done && x->done == x->begun && !(x->deleted >> x->done & 1);
  }
  for (bool first = true;; first = false) {
    lmp_out out = {.buf = (uint8_t *)bytes_out[who(m)], .cap = sizeof bytes_out[0]};
    if (!lmp_dict_next(&m->me, thing(), first ? NULL : &key, &out, &need)) sim_fail("next");
    if (!out.found) break;
    unsigned k = out.data[0];
    if (k >= KEYS || out.klen != 4 || memcmp(out.key, key_of(k).data, 4) != 0)
      sim_fail("an entry of no key");
    check_seen(k, true, version_of(&out, k), done[k]);
    memcpy(at, out.key, 4);
    key = lmp_dict_key(thing(), at, 4);
    lmp_out_done(&m->me, &out);
    if (met[k]++) sim_fail("a walk met an entry twice");
  }
  for (unsigned k = 0; k < KEYS; k++) {
    const known *x = &now()->key[k];
    bool stayed = there[k];
    for (unsigned v = done[k]; v <= x->begun; v++) stayed = stayed && !(x->deleted >> v & 1);
    if (stayed && !met[k]) sim_fail("a walk missed an entry");
  }
}

/* -- players: V writes even keys, P odd ones, Q looks ---------------------------------------------- */

static void set_v(sim_member *m) { store(m, 0, 5); }
static void set_two(sim_member *m) {
  store(m, 2, 40);
  store(m, 0, 5);
}
static void grow_v(sim_member *m) {
  store(m, 4, 5);
  store(m, 6, 5);
}
static void set_p(sim_member *m) {
  store(m, 1, 5);
  store(m, 3, 5);
}
static void delete_v(sim_member *m) {
  delete (m, 0);
  delete (m, 2);
}
static void delete_p(sim_member *m) {
  delete (m, 1);
  delete (m, 3);
}
static void large_v(sim_member *m) { store(m, 0, LARGE); }
static void large_delete(sim_member *m) { delete (m, 0); }
static void look_v(sim_member *m) {
  look(m, 0);
  look(m, 0);
}
static void look_two(sim_member *m) { look(m, 2); }
static void look_all(sim_member *m) {
  for (unsigned k = 0; k < 4; k++) look(m, k);
}
static void count_all(sim_member *m) {
  (void)m;
  uint64_t n = lmp_dict_count(thing());
  if (n > 4) sim_fail("more entries than keys");
}
static void incr_five(sim_member *m) { incr(m, 5); }
static void incr_twice(sim_member *m) {
  incr(m, 5);
  incr(m, 5);
}
static void update_five(sim_member *m) { update(m, 5, false); }
static void update_twice(sim_member *m) {
  update(m, 5, false);
  update(m, 5, true);
}
static void update_other(sim_member *m) { update(m, 7, false); }
static void update_leave(sim_member *m) { /* the thread goes, its hold with it */
  lmp_dkey key = key_of(5);
  now()->key[5].sum = true;
  if (lmp_dict_hold(&m->me, thing(), &key, LMP_FOREVER)) sim_fail("hold");
  lmp_me_detach(&m->me);
  if (lmp_me_attach(&m->a, &m->me)) sim_fail("attach");
  incr(m, 5);
}
static void update_end(sim_member *m) { /* the scene took the hold */
  lmp_iov iov;
  lmp_msg msg = value_of(m, 5, 1, 2, &iov);
  lmp_dop op = {.key = key_of(5), .value = &msg, .held = true};
  now()->inside[5] = 0;
  now()->key[5].begun++;
  if (write(m, &op, LMP_FOREVER)) sim_fail("write with a hold");
  now()->key[5].done++;
}
static void release_end(sim_member *m) {
  lmp_dkey key = key_of(5);
  now()->inside[5] = 0;
  lmp_dict_release(&m->me, thing(), &key);
}
/* The four entries that the scene put, at one moment. */
static void clear_four(sim_member *m) {
  lmp_err e;
  now()->cleared = true;
  for (unsigned k = 0; k < 4; k++) {
    known *x = &now()->key[k];
    x->begun++;
    x->deleted |= (uint16_t)(1u << x->begun);
  }
  do {
    e = lmp_dict_clear(&m->me, thing(), LMP_FOREVER);
  } while (e == LMP_E_INTR);
  if (e) sim_fail("clear");
  for (unsigned k = 0; k < 4; k++) now()->key[k].done = now()->key[k].begun;
}
static void all_or_none(sim_member *m) {
  (void)m;
  uint64_t n = lmp_dict_count(thing());
  if (n != 0 && n != 4) sim_fail("some entries were cleared");
}
static void hold_look(sim_member *m) {
  bool found[2];
  lmp_dkey key = key_of(1);
  size_t need;
  lmp_err e;
  do {
    e = lmp_dict_hold(&m->me, thing(), &key, LMP_FOREVER);
  } while (e == LMP_E_INTR);
  if (e) sim_fail("hold");
  enter_hold(m, 1);
  for (unsigned i = 0; i < 2; i++) {
    lmp_out out = {.buf = (uint8_t *)bytes_out[who(m)], .cap = sizeof bytes_out[0]};
    if (!lmp_dict_get(&m->me, thing(), &key, &out, &need)) sim_fail("get");
    found[i] = out.found;
    lmp_out_done(&m->me, &out);
  }
  if (found[0] != found[1]) sim_fail("a key that is held was cleared");
  now()->inside[1] = 0;
  lmp_dict_release(&m->me, thing(), &key);
}
static void drop(sim_member *m) {
  if (m->refs[now()->d.obj]) lmp_obj_unref(&m->me, now()->d);
}
static void collect(sim_member *m) { lmp_collect(&m->me); }

/* -- lists ----------------------------------------------------------------------------------------- */

static void list_put(sim_member *m, unsigned id, uint32_t at, size_t size) {
  lmp_iov iov;
  lmp_msg msg = value_of(m, id, 0, size, &iov);
  lmp_err e;
  now()->put[id] = 1;
  do {
    e = lmp_list_insert(&m->me, thing(), at, &msg, LMP_FOREVER);
  } while (e == LMP_E_INTR);
  if (e) sim_fail("insert");
  now()->put[id] = 2;
}
static void list_take(sim_member *m, uint32_t at) {
  lmp_out out = {0};
  if (lmp_list_remove(&m->me, thing(), at, false, &out)) return;
  unsigned id = out.data[0];
  version_of(&out, id);
  if (id >= 32 || !now()->put[id]) sim_fail("an element that nobody put");
  if (now()->got[id]++) sim_fail("an element was taken twice");
  lmp_out_done(&m->me, &out);
}
/* The first elements that the scene put, as far as they are there, are in order. */
static void list_look(sim_member *m) {
  size_t need;
  unsigned last = 0;
  for (uint32_t i = 0; i < lmp_list_count(thing()); i++) {
    lmp_out out = {.buf = (uint8_t *)bytes_out[who(m)], .cap = sizeof bytes_out[0]};
    if (!lmp_list_get(&m->me, thing(), i, &out, &need)) sim_fail("get");
    if (!out.found) break;
    unsigned id = out.data[0];
    version_of(&out, id);
    if (id >= 32 || !now()->put[id]) sim_fail("an element that nobody put");
    if (m == checker() && id < 16) {
      if (id <= last) sim_fail("elements out of order");
      last = id;
    }
    lmp_out_done(&m->me, &out);
  }
}
static void list_front(sim_member *m) { list_put(m, 16 + who(m), 0, 5); }
static void list_middle(sim_member *m) { list_put(m, 16 + who(m), 1, LARGE); }
static void list_append(sim_member *m) {
  list_put(m, 16 + who(m), LMP_LIST_END, 5);
  list_put(m, 20 + who(m), LMP_LIST_END, 40);
}
static void list_pop(sim_member *m) { list_take(m, LMP_LIST_END); }
static void list_shift(sim_member *m) {
  list_take(m, 0);
  list_take(m, 1);
}
static void list_set(sim_member *m) {
  lmp_iov iov;
  lmp_msg msg = value_of(m, 30, 0, 5, &iov);
  now()->put[30] = 1;
  if (lmp_list_set(&m->me, thing(), 0, &msg, LMP_FOREVER)) sim_fail("set");
  now()->put[30] = 2;
}

/* -- settings --------------------------------------------------------------------------------------- */

static void make(void) {
  if (lmp_dict_new(&checker()->me, LMP_KIND_DICT, NULL, 0, &now()->d)) sim_fail("set-up");
  world_share(now()->d);
  world_w.objects = 1;
}
static void d_empty(void) { make(); }
static void d_two(void) {
  make();
  store(checker(), 0, 5);
  store(checker(), 1, 5);
}
static void d_four(void) {
  make();
  for (unsigned k = 0; k < 4; k++) store(checker(), k, 5 + k * 20);
}
static void d_four_large(void) {
  make();
  for (unsigned k = 0; k < 4; k++) store(checker(), k, k == 2 ? LARGE : 5);
}
static void d_five(void) { /* of which two keep the others company */
  make();
  for (unsigned k = 0; k < 4; k++) store(checker(), k, 5);
  store(checker(), 12, 5);
  store(checker(), 13, 5);
}
static void d_large(void) {
  make();
  store(checker(), 0, LARGE);
}
/* V holds a key. */
static void d_held(void) {
  make();
  lmp_dkey key = key_of(5);
  now()->key[5].sum = true;
  if (lmp_dict_hold(&sim_k.m[SIM_V].me, thing(), &key, LMP_NOWAIT)) sim_fail("set-up");
}
/* Before the next segment, of buckets 16 and on. */
static void d_many(void) {
  make();
  for (unsigned k = 0; k < 12; k++) {
    if (k != 4 && k != 6) store(checker(), k, 5);
  }
}
/* Only V holds it; there is a large value, and the dict names itself where `self`. */
static void lonely(bool self) {
  sim_member *v = &sim_k.m[SIM_V];
  if (lmp_dict_new(&v->me, LMP_KIND_DICT, "a name that needs a block", 25, &now()->d))
    sim_fail("set-up");
  store(v, 0, LARGE);
  for (unsigned k = 1; k < 6; k++) store(v, k, 5);
  if (!self) return;
  lmp_iov iov = {"x", 1};
  lmp_msg msg = {.iov = &iov, .niov = 1, .len = 1, .handles = &now()->d, .nhandles = 1};
  lmp_dop op = {.key = key_of(15), .value = &msg};
  if (write(v, &op, LMP_NOWAIT)) sim_fail("set-up");
  lmp_store_rlx32(&v->a.h->hd_gc_debt, 0);
}
static void d_lonely(void) { lonely(false); }
static void d_self(void) { lonely(true); }

static void l_make(unsigned n) {
  if (lmp_list_new(&checker()->me, NULL, 0, &now()->d)) sim_fail("set-up");
  world_share(now()->d);
  world_w.objects = 1;
  for (unsigned i = 1; i <= n; i++) list_put(checker(), i, LMP_LIST_END, 5);
}
static void l_two(void) { l_make(2); }
static void l_five(void) { l_make(5); }
static void l_large(void) {
  l_make(3);
  list_put(checker(), 4, LMP_LIST_END, LARGE);
  list_put(checker(), 5, LMP_LIST_END, 5);
}
static void l_lonely(void) {
  sim_member *v = &sim_k.m[SIM_V];
  if (lmp_list_new(&v->me, NULL, 0, &now()->d)) sim_fail("set-up");
  for (unsigned i = 1; i <= 4; i++) list_put(v, i, LMP_LIST_END, i == 2 ? LARGE : 5);
}

/* -- the end ---------------------------------------------------------------------------------------- */

static bool dict_rightly(const lmp_obj *o, const sim_member *s) {
  for (unsigned i = 0; i < LMP_DICT_STRIPES; i++) {
    const lmp_stripe *st = &lmp_dict_of(o)->di_stripe[i];
    if (s->words[0].word != &st->st_release) continue;
    for (uint64_t off = st->st_holds; off;) {
      const lmp_hold *h = lmp_hold_at(&checker()->a, off);
      if (lmp_ctx_is(&checker()->a, h->ho_id, h->ho_serial)) return true;
      off = h->ho_next;
    }
  }
  return false;
}
static bool never_rightly(const lmp_obj *o, const sim_member *s) {
  (void)o, (void)s;
  return false;
}
static void no_relief(lmp_obj *o, const sim_member *s) {
  (void)o, (void)s;
  sim_fail("stuck: a hold that nobody ends");
}

static void dict_finish(lmp_obj *o) {
  sim_member *m = checker();
  (void)o;
  walk(m);
  if (now()->cleared) all_or_none(m);
  for (unsigned k = 0; k < KEYS; k++) {
    look(m, k);
    lmp_dop op = {.key = key_of(k)};
    if (write(m, &op, LMP_NOWAIT)) sim_fail("delete afterwards");
  }
  if (lmp_dict_count(o) != 0) sim_fail("entries stay");
  for (unsigned k = 0; k < KEYS; k++) now()->key[k] = (known){0};
  for (unsigned k = 0; k < KEYS; k++) store(m, k, 5);
  walk(m);
  for (unsigned k = 0; k < KEYS; k++) delete (m, k);
}

static void list_finish(lmp_obj *o) {
  sim_member *m = checker();
  unsigned lost = 0;
  unsigned killed = 0;
  (void)o;
  list_look(m);
  while (lmp_list_count(thing())) list_take(m, 0);
  for (unsigned i = 0; i < 3; i++) killed += dead(i);
  if (now()->put[30]) now()->got[1] = 1; /* replaced */
  for (unsigned i = 0; i < 32; i++) lost += now()->put[i] == 2 && !now()->got[i];
  if (lost > killed) sim_fail("an element was lost");
}

const world_kind dict_kinds[] = {
    {LMP_KIND_DICT, &lmp_dict_kind, dict_rightly, no_relief, dict_finish},
    {LMP_KIND_LIST, &lmp_list_kind, never_rightly, no_relief, list_finish},
    {0}};

#define VICTIM_V 1u
#define VICTIM_P 2u
#define VICTIM_Q 4u

const scene dict_scenes[] = {
    {"dict_set", d_two, {set_two, set_p, look_all}, VICTIM_V | VICTIM_P, false},
    {"dict_first", d_empty, {set_v, set_p, count_all}, VICTIM_V, false},
    {"dict_grow", d_four, {grow_v, look_all, walk}, VICTIM_V, false},
    {"dict_grow_two", d_two, {grow_v, set_p, walk}, VICTIM_V | VICTIM_P, false},
    {"dict_segment", d_many, {grow_v, set_p}, VICTIM_V | VICTIM_P, false},
    {"dict_delete", d_five, {delete_v, delete_p, walk}, VICTIM_V | VICTIM_P, false},
    {"dict_shrink", d_four, {delete_v, delete_p, look_all}, VICTIM_V | VICTIM_P, false},
    {"dict_delete_grow", d_four, {delete_v, set_p, count_all}, VICTIM_V | VICTIM_P, false},
    {"dict_large", d_large, {large_v, look_v, look_v}, VICTIM_V | VICTIM_P, false},
    {"dict_large_new", d_two, {large_v, look_v, collect}, VICTIM_V | VICTIM_P, false},
    {"dict_large_gone", d_large, {large_delete, look_v, collect}, VICTIM_V | VICTIM_P, false},
    {"dict_incr", d_empty, {incr_twice, incr_five, incr_five}, VICTIM_V | VICTIM_P, false},
    {"dict_update", d_empty, {update_twice, update_five}, VICTIM_V | VICTIM_P, false},
    {"dict_update_three",
     d_two,
     {update_five, update_five, update_five},
     VICTIM_V | VICTIM_P,
     false},
    {"dict_update_incr", d_two, {update_twice, incr_five, incr_five}, VICTIM_V | VICTIM_P, false},
    {"dict_update_other",
     d_two,
     {update_other, update_five, incr_five},
     VICTIM_V | VICTIM_P,
     false},
    {"dict_update_leave", d_two, {update_leave, incr_five, incr_five}, VICTIM_V | VICTIM_P, false},
    {"dict_update_end", d_held, {update_end, incr_five, incr_five}, VICTIM_V | VICTIM_P, false},
    {"dict_update_quit", d_held, {release_end, incr_five, incr_five}, VICTIM_V | VICTIM_P, false},
    {"dict_clear", d_four_large, {clear_four, all_or_none}, VICTIM_V, false},
    {"dict_clear_walk", d_four, {clear_four, walk}, VICTIM_V, false},
    {"dict_clear_large", d_four_large, {clear_four, look_two}, VICTIM_V, false},
    {"dict_clear_hold", d_four, {clear_four, hold_look}, VICTIM_V | VICTIM_P, false},
    {"dict_drop", d_lonely, {drop, collect}, VICTIM_V | VICTIM_P, false},
    {"dict_drop_self", d_self, {drop, collect, collect}, VICTIM_V | VICTIM_P, false},
    {"list_front", l_five, {list_front, list_look, list_pop}, VICTIM_V | VICTIM_Q, false},
    {"list_two", l_five, {list_front, list_shift}, VICTIM_V | VICTIM_P, false},
    {"list_middle", l_five, {list_middle, list_shift, collect}, VICTIM_V | VICTIM_P, false},
    {"list_append", l_two, {list_append, list_append, list_look}, VICTIM_V | VICTIM_P, false},
    {"list_pop", l_two, {list_pop, list_pop, list_append}, VICTIM_V | VICTIM_P, false},
    {"list_shift", l_five, {list_shift, list_shift, list_look}, VICTIM_V | VICTIM_P, false},
    {"list_set", l_five, {list_set, list_look}, VICTIM_V, false},
    {"list_trace", l_large, {list_shift, collect, list_pop}, VICTIM_V | VICTIM_P, false},
    {"list_drop", l_lonely, {drop, collect}, VICTIM_V | VICTIM_P, false},
    {0},
};

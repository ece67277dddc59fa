/* dict_test.c: the dict, in one process and between a few.
 * SPDX-License-Identifier: MIT */
#include "core.h"

#include "channel/dict.h"
#include "channel/dict_priv.h"

static lmp_obj *obj(const world *w, lmp_handle d) { return lmp_obj_at(&w->a, d.obj); }

static lmp_handle make(world *w) {
  lmp_handle d;
  assert_int_equal(lmp_dict_new(&w->me, LMP_KIND_DICT, NULL, 0, &d), LMP_OK);
  return d;
}

static void is_valid(world *w, lmp_handle d) {
  uint32_t blocks = 0;
  const char *bad = lmp_dict_valid(&w->me, obj(w, d), &blocks);
  if (bad) fail_msg("%s", bad);
}

static void end(world *w, lmp_handle d) {
  is_valid(w, d);
  lmp_obj_unref(&w->me, d);
  world_is_empty(w);
  world_close(w);
}

/* -- short forms: keys and values are numbers ---------------------------------------------------- */

static lmp_err set_bytes(lmp_me *me, lmp_obj *o, uint32_t k, const void *data, size_t len,
                         const lmp_handle *h, uint32_t nh) {
  lmp_iov piece = {data, len};
  lmp_msg m = {.iov = &piece, .niov = 1, .len = len, .handles = h, .nhandles = nh};
  lmp_dop op = {.key = lmp_dict_key(o, &k, sizeof k), .value = &m};
  return lmp_dict_write(me, o, &op, LMP_FOREVER);
}

static lmp_err set_number(lmp_me *me, lmp_obj *o, uint32_t k, uint64_t v) {
  return set_bytes(me, o, k, &v, sizeof v, NULL, 0);
}

static void set(world *w, lmp_handle d, uint32_t k, uint64_t v) {
  assert_int_equal(set_number(&w->me, obj(w, d), k, v), LMP_OK);
}

static bool del_key(lmp_me *me, lmp_obj *o, uint32_t k) {
  lmp_dop op = {.key = lmp_dict_key(o, &k, sizeof k)};
  return lmp_dict_write(me, o, &op, LMP_FOREVER) == LMP_OK && op.changed;
}

static bool del(world *w, lmp_handle d, uint32_t k) { return del_key(&w->me, obj(w, d), k); }

#define NOTHING UINT64_MAX

static uint64_t get_number(lmp_me *me, lmp_obj *o, uint32_t k) {
  uint64_t buf[16];
  uint64_t v = NOTHING;
  size_t need;
  lmp_out out = {.buf = (uint8_t *)buf, .cap = sizeof buf};
  lmp_dkey key = lmp_dict_key(o, &k, sizeof k);
  if (lmp_dict_get(me, o, &key, &out, &need) && out.found) memcpy(&v, out.data, sizeof v);
  lmp_out_done(me, &out);
  return v;
}

static uint64_t get(world *w, lmp_handle d, uint32_t k) { return get_number(&w->me, obj(w, d), k); }

static lmp_dact add_one(void *arg, lmp_entry *old, lmp_entry *fresh) {
  uint64_t n = *(uint64_t *)arg;
  uint64_t was = 0;
  if (old) memcpy(&was, lmp_entry_value(old), sizeof was);
  n += was;
  memcpy(lmp_entry_value(fresh), &n, sizeof n);
  fresh->en_vlen = sizeof n;
  return LMP_DICT_STORE;
}

/* d[k] += n */
static lmp_err add_number(lmp_me *me, lmp_obj *o, uint32_t k, uint64_t n) {
  lmp_dop op = {.key = lmp_dict_key(o, &k, sizeof k), .room = 8, .decide = add_one, .arg = &n};
  return lmp_dict_write(me, o, &op, LMP_FOREVER);
}

/* -- one process -------------------------------------------------------------------------------- */

static void test_set_get_delete(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle d = make(&w);
  assert_true(get(&w, d, 1) == NOTHING);
  set(&w, d, 1, 10);
  set(&w, d, 2, 20);
  assert_int_equal(get(&w, d, 1), 10);
  set(&w, d, 1, 11);
  assert_int_equal(get(&w, d, 1), 11);
  assert_int_equal(lmp_dict_count(obj(&w, d)), 2);
  is_valid(&w, d);
  assert_true(del(&w, d, 1));
  assert_false(del(&w, d, 1));
  assert_true(get(&w, d, 1) == NOTHING);
  assert_int_equal(get(&w, d, 2), 20);
  assert_true(del(&w, d, 2));
  assert_int_equal(lmp_memory_used(&w.a), 0); /* an empty dict has no blocks */
  end(&w, d);
}

static void test_growing_and_shrinking_keep_everything(void **state) {
  (void)state;
  world w;
  world_open_as(&w, 16 * MIB, 64);
  lmp_handle d = make(&w);
  const uint32_t n = 6000;
  for (uint32_t round = 0; round < 3; round++) {
    for (uint32_t k = 0; k < n; k++) {
      set(&w, d, k, k * 3);
      if (k % 500 == 0) is_valid(&w, d);
    }
    assert_int_equal(lmp_dict_count(obj(&w, d)), n);
    for (uint32_t k = 0; k < n; k++) assert_int_equal(get(&w, d, k), k * 3);
    for (uint32_t i = 0; i < LMP_DICT_STRIPES; i++) { /* as many buckets as entries, about */
      const lmp_stripe *st = &lmp_dict_of(obj(&w, d))->di_stripe[i];
      assert_true(st->st_buckets + 1 >= lmp_stripe_entries(st));
    }
    for (uint32_t k = 0; k < n; k++) {
      assert_true(del(&w, d, k));
      if (k % 500 == 0) is_valid(&w, d);
      if (k + 1 < n) assert_int_equal(get(&w, d, n - 1), (n - 1) * 3);
    }
    assert_int_equal(lmp_memory_used(&w.a), 0);
  }
  end(&w, d);
}

/* Up and down at random: what is there is what a plain array says. */
static void test_random_changes_follow_a_model(void **state) {
  (void)state;
  world w;
  static uint64_t model[512];
  world_open_as(&w, 16 * MIB, 64);
  lmp_handle d = make(&w);
  uint32_t x = 1;
  uint32_t count = 0;
  memset(model, 0xff, sizeof model);
  for (uint32_t i = 0; i < 60000; i++) {
    x = x * 1664525 + 1013904223;
    uint32_t k = x >> 16 & 511;
    bool up = (i / 6000) % 2 == 0; /* more sets than deletions, and the other way round */
    bool store = (x >> 8 & 7) < (up ? 6 : 2);
    if (store) {
      set(&w, d, k, i);
      count += model[k] == NOTHING;
      model[k] = i;
    } else {
      assert_int_equal(del(&w, d, k), model[k] != NOTHING);
      count -= model[k] != NOTHING;
      model[k] = NOTHING;
    }
    assert_int_equal(lmp_dict_count(obj(&w, d)), count);
    if (i % 997 == 0) {
      is_valid(&w, d);
      for (k = 0; k < 512; k++) assert_true(get(&w, d, k) == model[k]);
    }
  }
  end(&w, d);
}

/* -- walking ------------------------------------------------------------------------------------- */

/* The next key after *k, or the first one. False at the end. */
static bool next(world *w, lmp_handle d, bool first, uint32_t *k) {
  uint64_t buf[16];
  size_t need;
  lmp_out out = {.buf = (uint8_t *)buf, .cap = sizeof buf};
  uint32_t from = *k;
  lmp_dkey key = lmp_dict_key(obj(w, d), &from, sizeof from);
  assert_true(lmp_dict_next(&w->me, obj(w, d), first ? NULL : &key, &out, &need));
  if (out.found) {
    assert_int_equal(out.klen, 4);
    memcpy(k, out.key, 4);
  }
  bool found = out.found;
  lmp_out_done(&w->me, &out);
  return found;
}

static void test_a_walk_meets_what_stays_once(void **state) {
  (void)state;
  world w;
  static uint8_t met[4000];
  world_open_as(&w, 16 * MIB, 64);
  lmp_handle d = make(&w);
  for (uint32_t stay = 0; stay < 200; stay += 33) {
    memset(met, 0, sizeof met);
    for (uint32_t k = 0; k < stay; k++) set(&w, d, k, k);
    uint32_t k = 0;
    uint32_t come = 1000;
    uint32_t go = 1000;
    bool first = true;
    while (next(&w, d, first, &k)) {
      first = false;
      met[k]++;
      /* Grows by half of the steps, then is emptied of all that came. */
      if (come < 3000 && stay % 2) {
        for (uint32_t i = 0; i < 9; i++) set(&w, d, come++, 1);
      }
      if (met[k] > 1) fail_msg("key %u was met twice", k);
      if (k >= 1000) assert_true(del(&w, d, k)); /* the one that the walk stands on */
      if (come >= 3000 && go < 3000) {
        while (go < 3000 && go % 100) del(&w, d, go++);
        go++;
      }
      is_valid(&w, d);
    }
    for (k = 0; k < stay; k++) assert_int_equal(met[k], 1);
    while (next(&w, d, true, &k)) del(&w, d, k);
  }
  end(&w, d);
}

/* Two keys of one order are told apart by their bytes, and a walk meets both. */
static void test_keys_of_one_order(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle d = make(&w);
  lmp_obj *o = obj(&w, d);
  static const char *const keys[] = {"a", "b", "ab", "", "ba", "c"};
  for (size_t i = 0; i < LMP_COUNT(keys); i++) {
    lmp_iov piece = {&i, sizeof i};
    lmp_msg m = {.iov = &piece, .niov = 1, .len = sizeof i};
    lmp_dop op = {.key = {keys[i], (uint32_t)strlen(keys[i]), 12345}, .value = &m};
    assert_int_equal(lmp_dict_write(&w.me, o, &op, LMP_FOREVER), LMP_OK);
    is_valid(&w, d);
  }
  uint64_t buf[16];
  size_t need;
  char at[4] = "";
  unsigned seen = 0;
  lmp_dkey key = {at, 0, 12345};
  for (bool first = true;; first = false) {
    lmp_out out = {.buf = (uint8_t *)buf, .cap = sizeof buf};
    assert_true(lmp_dict_next(&w.me, o, first ? NULL : &key, &out, &need));
    if (!out.found) break;
    memcpy(at, out.key, out.klen);
    key.len = out.klen;
    size_t i;
    memcpy(&i, out.data, sizeof i);
    assert_int_equal(strlen(keys[i]), out.klen);
    assert_memory_equal(keys[i], at, out.klen);
    assert_int_equal(seen & 1u << i, 0);
    seen |= 1u << i;
  }
  assert_int_equal(seen, 63);
  end(&w, d);
}

/* -- values -------------------------------------------------------------------------------------- */

static void test_values_of_all_sizes(void **state) {
  (void)state;
  world w;
  static uint8_t data[200000];
  static uint8_t buf[LMP_ENTRY_COPY_MAX];
  static const size_t sizes[] = {0, 1, 31, 32, 33, 4096, 8191, 8192, 8193, 40000, 65537, 200000};
  world_open_as(&w, 16 * MIB, 64);
  lmp_handle d = make(&w);
  for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)(i * 7 + i / 251);
  for (uint32_t round = 0; round < 2; round++) {
    for (uint32_t i = 0; i < LMP_COUNT(sizes); i++) {
      size_t n = sizes[(i + round) % LMP_COUNT(sizes)];
      assert_int_equal(set_bytes(&w.me, obj(&w, d), i, data, n, NULL, 0), LMP_OK);
      lmp_out out = {.buf = buf, .cap = sizeof buf};
      size_t need;
      lmp_dkey key = lmp_dict_key(obj(&w, d), &i, sizeof i);
      assert_true(lmp_dict_get(&w.me, obj(&w, d), &key, &out, &need));
      assert_int_equal(out.len, n);
      assert_memory_equal(out.data, data, n);
      assert_int_equal(out.large.obj != 0, n > LMP_ENTRY_COPY_MAX);
      /* Replaced and deleted while it is being read. */
      if (round) assert_true(del(&w, d, i));
      assert_memory_equal(out.data, data, n);
      lmp_out_done(&w.me, &out);
      is_valid(&w, d);
    }
  }
  assert_int_equal(lmp_memory_used(&w.a), 0);
  assert_int_equal(lmp_obj_count(&w.a), 1);
  end(&w, d);
}

static void test_a_dict_that_is_dropped_gives_all_back(void **state) {
  (void)state;
  world w;
  static uint8_t data[20000];
  world_open_as(&w, 16 * MIB, 256);
  for (uint32_t round = 0; round < 5; round++) {
    lmp_handle d = make(&w);
    for (uint32_t k = 0; k < 300; k++) {
      size_t n = k % 10 == 0 ? sizeof data : k;
      assert_int_equal(set_bytes(&w.me, obj(&w, d), k, data, n, NULL, 0), LMP_OK);
    }
    is_valid(&w, d);
    /* The collector, were it asked while the dict is being destroyed, would destroy it once more. */
    lmp_store_rlx32(&w.a.h->hd_gc_debt, 1000);
    lmp_obj_unref(&w.me, d);
    lmp_collect(&w.me);
    assert_int_equal(lmp_obj_count(&w.a), 0);
    assert_int_equal(lmp_memory_used(&w.a), 0);
  }
  world_close(&w);
}

static void test_handles_in_values(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle d = make(&w);
  lmp_handle q = queue_make(&w, 0);
  assert_int_equal(set_bytes(&w.me, obj(&w, d), 1, "x", 1, &q, 1), LMP_OK);
  lmp_obj_unref(&w.me, q);
  lmp_collect(&w.me);
  assert_int_equal(lmp_obj_count(&w.a), 2); /* the dict names it */
  uint64_t buf[16];
  size_t need;
  uint32_t k = 1;
  lmp_out out = {.buf = (uint8_t *)buf, .cap = sizeof buf};
  lmp_dkey key = lmp_dict_key(obj(&w, d), &k, sizeof k);
  assert_true(lmp_dict_get(&w.me, obj(&w, d), &key, &out, &need));
  assert_int_equal(out.nhandles, 1);
  assert_int_equal(out.handles[0].obj, q.obj);
  assert_true(del(&w, d, 1));
  lmp_collect(&w.me);
  assert_int_equal(lmp_obj_count(&w.a), 2); /* the reader holds it */
  lmp_out_done(&w.me, &out);
  lmp_collect(&w.me);
  assert_int_equal(lmp_obj_count(&w.a), 1);
  end(&w, d);
}

static void test_a_dict_in_itself_is_collected(void **state) {
  (void)state;
  world w;
  static uint8_t data[20000];
  world_open(&w);
  lmp_handle d = make(&w);
  assert_int_equal(set_bytes(&w.me, obj(&w, d), 1, data, sizeof data, &d, 1), LMP_OK);
  assert_int_equal(set_bytes(&w.me, obj(&w, d), 2, data, sizeof data, NULL, 0), LMP_OK);
  for (uint32_t k = 3; k < 200; k++) set(&w, d, k, k);
  lmp_obj_unref(&w.me, d);
  lmp_collect(&w.me);
  lmp_collect(&w.me);
  world_is_empty(&w);
  world_close(&w);
}

static void test_a_full_memory(void **state) {
  (void)state;
  world w;
  static uint8_t data[3 * MIB];
  world_open_as(&w, 2 * MIB, 64);
  lmp_handle d = make(&w);
  assert_int_equal(set_bytes(&w.me, obj(&w, d), 1, data, sizeof data, NULL, 0), LMP_E_TOOLARGE);
  uint32_t k = 0;
  lmp_err e = LMP_OK;
  while (!e) { /* until not even an entry fits: the table did without a segment or two by then */
    uint64_t v = k;
    lmp_iov piece = {&v, sizeof v};
    lmp_msg m = {.iov = &piece, .niov = 1, .len = sizeof v};
    lmp_dop op = {.key = lmp_dict_key(obj(&w, d), &k, sizeof k), .value = &m};
    e = lmp_dict_write(&w.me, obj(&w, d), &op, LMP_NOWAIT);
    k += !e;
  }
  assert_int_equal(e, LMP_E_TIMEOUT);
  is_valid(&w, d);
  for (uint32_t i = 0; i < k; i++) assert_int_equal(get(&w, d, i), i);
  for (uint32_t i = 0; i < k; i++) assert_true(del(&w, d, i));
  assert_int_equal(lmp_memory_used(&w.a), 0);
  end(&w, d);
}

/* -- holds --------------------------------------------------------------------------------------- */

static void test_a_held_key(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle d = make(&w);
  lmp_obj *o = obj(&w, d);
  uint32_t k = 1;
  lmp_dkey key = lmp_dict_key(o, &k, sizeof k);
  set(&w, d, 1, 10);
  for (unsigned i = 0; i < 2; i++) {
    assert_int_equal(lmp_dict_hold(&w.me, o, &key, LMP_NOWAIT), LMP_OK);
    assert_int_equal(get(&w, d, 1), i ? 12 : 10);               /* readers see the old value */
    assert_int_equal(set_number(&w.me, o, 1, 11), LMP_E_INVAL); /* it is ours */
    assert_int_equal(lmp_dict_hold(&w.me, o, &key, LMP_FOREVER), LMP_E_INVAL);
    for (uint32_t j = 2; j < 40; j++) set(&w, d, j, j); /* others are free */
    uint64_t v = 12;
    lmp_iov piece = {&v, sizeof v};
    lmp_msg m = {.iov = &piece, .niov = 1, .len = sizeof v};
    lmp_dop op = {.key = key, .value = i ? NULL : &m, .held = true};
    assert_int_equal(lmp_dict_write(&w.me, o, &op, LMP_FOREVER), LMP_OK);
    assert_true(op.changed);
    assert_true(get(&w, d, 1) == (i ? NOTHING : 12));
    is_valid(&w, d);
  }
  assert_int_equal(lmp_dict_hold(&w.me, o, &key, LMP_NOWAIT), LMP_OK); /* of no entry */
  lmp_dict_release(&w.me, o, &key);
  lmp_dict_release(&w.me, o, &key); /* harmless */
  set(&w, d, 1, 13);
  end(&w, d);
}

static void peer_holds(world *w, void *arg) {
  lmp_handle *d = arg;
  lmp_obj *o = obj(w, *d);
  uint32_t k = 1;
  lmp_dkey key = lmp_dict_key(o, &k, sizeof k);
  must(lmp_dict_hold(&w->me, o, &key, LMP_FOREVER) == LMP_OK);
  lmp_store_rel32(&w->word[0], 1);
  until(lmp_load_acq32(&w->word[1]));
  lmp_dict_release(&w->me, o, &key);
  lmp_store_rel32(&w->word[2], 1);
}

static void test_a_holder_is_waited_for(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle d = make(&w);
  peer p = peer_start(&w, peer_holds, &d);
  until(lmp_load_acq32(&w.word[0]));
  uint32_t k = 1;
  lmp_dkey key = lmp_dict_key(obj(&w, d), &k, sizeof k);
  assert_int_equal(lmp_dict_hold(&w.me, obj(&w, d), &key, LMP_NOWAIT), LMP_E_TIMEOUT);
  assert_int_equal(lmp_dict_hold(&w.me, obj(&w, d), &key, lmp_os_now() + 5 * LMP_MSEC),
                   LMP_E_TIMEOUT);
  assert_int_equal(lmp_load_acq32(&w.word[2]), 0);
  lmp_store_rel32(&w.word[1], 1);
  set(&w, d, 1, 5);
  peer_end(&w, &p);
  end(&w, d);
}

static void test_a_killed_holder_lets_go(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle d = make(&w);
  for (unsigned i = 0; i < 20; i++) {
    w.word[0] = 0;
    peer p = peer_start(&w, peer_holds, &d);
    until(lmp_load_acq32(&w.word[0]));
    peer_kill(&p);
    if (i % 2) {
      set(&w, d, 1, i);
    } else {
      uint32_t k = 1;
      lmp_dkey key = lmp_dict_key(obj(&w, d), &k, sizeof k);
      assert_int_equal(lmp_dict_hold(&w.me, obj(&w, d), &key, LMP_FOREVER), LMP_OK);
      lmp_dict_release(&w.me, obj(&w, d), &key);
    }
    peer_reap(&w, &p);
    is_valid(&w, d);
  }
  end(&w, d);
}

/* -- several processes ---------------------------------------------------------------------------- */

#define ROUNDS 20000u

static void peer_adds(world *w, void *arg) {
  lmp_handle *d = arg;
  for (uint32_t i = 0; i < ROUNDS; i++) {
    must(add_number(&w->me, obj(w, *d), i % 7, 1) == LMP_OK);
    uint32_t k = 100 + w->me.id * 1000 + i % 500;
    if (i % 1000 < 500) {
      must(set_number(&w->me, obj(w, *d), k, i) == LMP_OK);
    } else {
      must(del_key(&w->me, obj(w, *d), k));
    }
  }
}

static void test_several_add(void **state) {
  (void)state;
  world w;
  world_open_as(&w, 16 * MIB, 64);
  lmp_handle d = make(&w);
  peer p[3];
  uint64_t sum = 0;
  for (unsigned i = 0; i < LMP_COUNT(p); i++) p[i] = peer_start(&w, peer_adds, &d);
  peer_adds(&w, &d);
  for (unsigned i = 0; i < LMP_COUNT(p); i++) peer_end(&w, &p[i]);
  is_valid(&w, d);
  for (uint32_t k = 0; k < 7; k++) sum += get(&w, d, k);
  assert_int_equal(sum, (LMP_COUNT(p) + 1) * ROUNDS);
  assert_int_equal(lmp_dict_count(obj(&w, d)), 7);
  end(&w, d);
}

static void test_clearing(void **state) {
  (void)state;
  static const uint8_t large[LMP_ENTRY_COPY_MAX + 1];
  world w;
  world_open_as(&w, 16 * MIB, 64);
  lmp_handle d = make(&w);
  uint32_t held = 7;
  for (int round = 0; round < 3; round++) {
    for (uint32_t k = 0; k < 1000; k++) set(&w, d, k, k);
    assert_int_equal(set_bytes(&w.me, obj(&w, d), 5, large, sizeof large, NULL, 0), LMP_OK);
    assert_int_equal(set_bytes(&w.me, obj(&w, d), 6, "x", 1, &d, 1), LMP_OK);
    lmp_dkey key = lmp_dict_key(obj(&w, d), &held, sizeof held);
    assert_int_equal(lmp_dict_hold(&w.me, obj(&w, d), &key, LMP_NOWAIT), LMP_OK);
    assert_int_equal(lmp_dict_clear(&w.me, obj(&w, d), LMP_FOREVER), LMP_E_INVAL);
    lmp_dict_release(&w.me, obj(&w, d), &key);
    assert_int_equal(lmp_dict_count(obj(&w, d)), 1000);
    assert_int_equal(lmp_dict_clear(&w.me, obj(&w, d), LMP_FOREVER), LMP_OK);
    assert_int_equal(lmp_dict_count(obj(&w, d)), 0);
    assert_int_equal(get(&w, d, 9), NOTHING);
    assert_int_equal(lmp_memory_used(&w.a), 0);
    is_valid(&w, d);
  }
  end(&w, d);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_set_get_delete),
      cmocka_unit_test(test_growing_and_shrinking_keep_everything),
      cmocka_unit_test(test_random_changes_follow_a_model),
      cmocka_unit_test(test_a_walk_meets_what_stays_once),
      cmocka_unit_test(test_keys_of_one_order),
      cmocka_unit_test(test_values_of_all_sizes),
      cmocka_unit_test(test_a_dict_that_is_dropped_gives_all_back),
      cmocka_unit_test(test_handles_in_values),
      cmocka_unit_test(test_a_dict_in_itself_is_collected),
      cmocka_unit_test(test_a_full_memory),
      cmocka_unit_test(test_a_held_key),
      cmocka_unit_test(test_a_holder_is_waited_for),
      cmocka_unit_test(test_a_killed_holder_lets_go),
      cmocka_unit_test(test_several_add),
      cmocka_unit_test(test_clearing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

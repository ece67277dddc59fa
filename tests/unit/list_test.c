/* list_test.c: the list, in one process and between a few.
 * SPDX-License-Identifier: MIT */
#include "core.h"

#include "channel/list.h"

static lmp_obj *obj(const world *w, lmp_handle l) { return lmp_obj_at(&w->a, l.obj); }

static lmp_handle make(world *w) {
  lmp_handle l;
  assert_int_equal(lmp_list_new(&w->me, NULL, 0, &l), LMP_OK);
  return l;
}

static void is_valid(world *w, lmp_handle l) {
  uint32_t blocks = 0;
  const char *bad = lmp_list_valid(&w->me, obj(w, l), &blocks);
  if (bad) fail_msg("%s", bad);
}

static void end(world *w, lmp_handle l) {
  is_valid(w, l);
  lmp_obj_unref(&w->me, l);
  world_is_empty(w);
  world_close(w);
}

typedef lmp_err (*change)(lmp_me *me, lmp_obj *o, uint32_t i, const lmp_msg *value,
                          uint64_t deadline);

static lmp_err put_bytes(lmp_me *me, lmp_obj *o, change f, uint32_t i, const void *data, size_t len,
                         const lmp_handle *h, uint32_t nh) {
  lmp_iov piece = {data, len};
  lmp_msg m = {.iov = &piece, .niov = 1, .len = len, .handles = h, .nhandles = nh};
  return f(me, o, i, &m, LMP_FOREVER);
}

static void insert(world *w, lmp_handle l, uint32_t i, uint64_t v) {
  assert_int_equal(put_bytes(&w->me, obj(w, l), lmp_list_insert, i, &v, sizeof v, NULL, 0), LMP_OK);
}

static void set(world *w, lmp_handle l, uint32_t i, uint64_t v) {
  assert_int_equal(put_bytes(&w->me, obj(w, l), lmp_list_set, i, &v, sizeof v, NULL, 0), LMP_OK);
}

#define NOTHING UINT64_MAX

static uint64_t get(world *w, lmp_handle l, uint32_t i) {
  uint64_t buf[16];
  uint64_t v = NOTHING;
  size_t need;
  lmp_out out = {.buf = (uint8_t *)buf, .cap = sizeof buf};
  assert_true(lmp_list_get(&w->me, obj(w, l), i, &out, &need));
  if (out.found) memcpy(&v, out.data, sizeof v);
  lmp_out_done(&w->me, &out);
  return v;
}

static uint64_t take(world *w, lmp_handle l, uint32_t i) {
  uint64_t v = NOTHING;
  lmp_out out = {0};
  if (lmp_list_remove(&w->me, obj(w, l), i, false, &out) == LMP_OK) memcpy(&v, out.data, sizeof v);
  lmp_out_done(&w->me, &out);
  return v;
}

/* Grows and shrinks at random places: what is there is what a plain array says. */
static void test_changes_follow_a_model(void **state) {
  (void)state;
  world w;
  static uint64_t model[1000];
  world_open_as(&w, 16 * MIB, 64);
  lmp_handle l = make(&w);
  uint32_t n = 0;
  uint32_t x = 1;
  for (uint32_t step = 0; step < 30000; step++) {
    x = x * 1664525 + 1013904223;
    bool up = step / 2500 % 2 == 0;
    uint32_t event = x >> 8 & 15;
    uint32_t i = n ? (x >> 12) % n : 0;
    if (event < 2 && n) {
      set(&w, l, i, step);
      model[i] = step;
    } else if (event < (up ? 12 : 6) && n < 900) {
      if (event % 2) i = n;
      insert(&w, l, i == n && event % 4 == 1 ? LMP_LIST_END : i, step);
      memmove(&model[i + 1], &model[i], (n - i) * sizeof model[0]);
      model[i] = step;
      n++;
    } else if (n) {
      if (event % 2) i = n - 1;
      assert_int_equal(take(&w, l, event % 2 ? LMP_LIST_END : i), model[i]);
      memmove(&model[i], &model[i + 1], (n - 1 - i) * sizeof model[0]);
      n--;
    }
    assert_int_equal(lmp_list_count(obj(&w, l)), n);
    if (step % 499 == 0) {
      is_valid(&w, l);
      for (i = 0; i < n; i++) assert_int_equal(get(&w, l, i), model[i]);
    }
  }
  for (uint32_t i = 0; i < n; i++) assert_int_equal(take(&w, l, 0), model[i]);
  end(&w, l);
}

static void test_places_that_are_not_there(void **state) {
  (void)state;
  world w;
  world_open(&w);
  lmp_handle l = make(&w);
  uint64_t v = 1;
  assert_true(get(&w, l, 0) == NOTHING);
  assert_true(take(&w, l, 0) == NOTHING);
  assert_true(take(&w, l, LMP_LIST_END) == NOTHING);
  assert_int_equal(put_bytes(&w.me, obj(&w, l), lmp_list_insert, 1, &v, 8, NULL, 0), LMP_E_INVAL);
  assert_int_equal(put_bytes(&w.me, obj(&w, l), lmp_list_set, 1, &v, 8, NULL, 0), LMP_E_INVAL);
  set(&w, l, 0, 5); /* behind the last one: appended */
  set(&w, l, LMP_LIST_END, 6);
  assert_int_equal(get(&w, l, 1), 6);
  assert_true(take(&w, l, 2) == NOTHING);
  assert_int_equal(lmp_list_count(obj(&w, l)), 2);
  assert_int_equal(take(&w, l, 0), 5);
  assert_int_equal(take(&w, l, 0), 6);
  assert_int_equal(lmp_memory_used(&w.a), 0);
  end(&w, l);
}

static void test_large_values_and_handles(void **state) {
  (void)state;
  world w;
  static uint8_t data[30000];
  static uint64_t buf[LMP_ENTRY_COPY_MAX / 8];
  size_t need;
  world_open(&w);
  lmp_handle l = make(&w);
  lmp_handle q = queue_make(&w, 0);
  for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)(i * 7 + i / 251);
  for (uint32_t i = 0; i < 10; i++) {
    lmp_handle both[2] = {q, l};
    assert_int_equal(
        put_bytes(&w.me, obj(&w, l), lmp_list_insert, i / 2, data, sizeof data - i, both, i % 3),
        LMP_OK);
    is_valid(&w, l);
  }
  lmp_obj_unref(&w.me, q);
  lmp_collect(&w.me);
  assert_int_equal(lmp_obj_count(&w.a), 12);
  for (uint32_t i = 0; i < 10; i++) {
    lmp_out out = {.buf = (uint8_t *)buf, .cap = sizeof buf};
    assert_true(lmp_list_get(&w.me, obj(&w, l), 0, &out, &need));
    size_t len = out.len;
    lmp_out taken = {0};
    assert_int_equal(lmp_list_remove(&w.me, obj(&w, l), 0, false, &taken), LMP_OK);
    assert_memory_equal(out.data, data, len);
    assert_memory_equal(taken.data, data, len);
    lmp_out_done(&w.me, &taken);
    assert_memory_equal(out.data, data, len);
    lmp_out_done(&w.me, &out);
    is_valid(&w, l);
  }
  lmp_collect(&w.me);
  assert_int_equal(lmp_obj_count(&w.a), 1);
  assert_int_equal(put_bytes(&w.me, obj(&w, l), lmp_list_set, 0, data, sizeof data, &l, 1), LMP_OK);
  lmp_obj_unref(&w.me, l); /* it names itself */
  world_is_empty(&w);
  world_close(&w);
}

/* What a killed thread leaves in the middle of moving elements. */
static void test_a_gap_is_closed_by_who_comes_next(void **state) {
  (void)state;
  world w;
  world_open(&w);
  for (uint32_t gap = 0; gap <= 20; gap++) {
    lmp_handle h = make(&w);
    lmp_list *l = (lmp_list *)(void *)obj(&w, h)->ob_body;
    for (uint32_t i = 0; i < 21; i++) insert(&w, h, LMP_LIST_END, i);
    assert_int_equal(take(&w, h, LMP_LIST_END), 20); /* so there is a slot behind the last */
    for (uint32_t i = 20; i > gap; i--)
      *lmp_slot(&w.a, &l->ls_slots, i) = *lmp_slot(&w.a, &l->ls_slots, i - 1);
    l->ls_gap = gap + 1;
    *lmp_slot(&w.a, &l->ls_slots, gap) = 0;
    is_valid(&w, h);
    if (gap % 2) insert(&w, h, LMP_LIST_END, 20);
    for (uint32_t i = 0; i < 20; i++) assert_int_equal(get(&w, h, i), i);
    assert_int_equal(l->ls_gap, 0);
    is_valid(&w, h);
    lmp_obj_unref(&w.me, h);
  }
  world_is_empty(&w);
  world_close(&w);
}

static void peer_appends(world *w, void *arg) {
  lmp_handle *l = arg;
  for (uint64_t i = 0; i < 5000; i++) {
    uint64_t v = i << 8 | w->me.id;
    change f = i % 3 ? lmp_list_set : lmp_list_insert;
    must(put_bytes(&w->me, obj(w, *l), f, i % 3 ? LMP_LIST_END : 0, &v, sizeof v, NULL, 0) ==
         LMP_OK);
    if (i % 2) continue;
    lmp_out out = {0};
    must(lmp_list_remove(&w->me, obj(w, *l), i % 4 ? LMP_LIST_END : 0, false, &out) == LMP_OK);
    lmp_out_done(&w->me, &out);
  }
}

static void test_several_append_and_take(void **state) {
  (void)state;
  world w;
  world_open_as(&w, 16 * MIB, 64);
  lmp_handle l = make(&w);
  peer p[3];
  for (unsigned i = 0; i < LMP_COUNT(p); i++) p[i] = peer_start(&w, peer_appends, &l);
  peer_appends(&w, &l);
  for (unsigned i = 0; i < LMP_COUNT(p); i++) peer_end(&w, &p[i]);
  assert_int_equal(lmp_list_count(obj(&w, l)), (LMP_COUNT(p) + 1) * 2500);
  end(&w, l);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_changes_follow_a_model),
      cmocka_unit_test(test_places_that_are_not_there),
      cmocka_unit_test(test_large_values_and_handles),
      cmocka_unit_test(test_a_gap_is_closed_by_who_comes_next),
      cmocka_unit_test(test_several_append_and_take),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* elem_test.c: elements of all types against C, and the loops over many against simple ones.
 * SPDX-License-Identifier: MIT */
#include "core.h"

#include <math.h>
#include <pthread.h>

#include "channel/bulk.h"

static const char codes[] = "bBhHiIlLqQfd?c";

static uint64_t random_state = 88172645463325252u;
static uint64_t next_random(void) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return random_state;
}

static unsigned bits_of(lmp_elem t) { return 8u << lmp_elem_shift(t); }
static uint64_t cut(lmp_elem t, uint64_t bits) { return bits & (UINT64_MAX >> (64 - bits_of(t))); }
static bool is_float(lmp_elem t) { return t == LMP_EL_F32 || t == LMP_EL_F64; }
static bool is_signed(lmp_elem t) {
  return t == LMP_EL_I8 || t == LMP_EL_I16 || t == LMP_EL_I32 || t == LMP_EL_I64;
}
static double float_of(lmp_elem t, uint64_t bits) {
  return t == LMP_EL_F32 ? (double)lmp_f32_of(bits) : lmp_f64_of(bits);
}
static uint64_t of_float(lmp_elem t, double f) {
  return t == LMP_EL_F32 ? lmp_bits_f32((float)f) : lmp_bits_f64(f);
}
static int64_t widen(lmp_elem t, uint64_t bits) {
  unsigned up = 64 - bits_of(t);
  return is_signed(t) ? (int64_t)(bits << up) >> up : (int64_t)bits;
}

static void test_the_codes_have_the_sizes_of_c(void **state) {
  static const size_t size[] = {1, 1, 2, 2, 4, 4, sizeof(long), sizeof(long), 8, 8, 4, 8, 1, 1};
  (void)state;
  for (size_t i = 0; codes[i]; i++) {
    assert_int_equal(UINT64_C(1) << lmp_elem_shift(lmp_elem_of(codes[i])), size[i]);
  }
  unsigned known = 0;
  for (int c = 0; c < 256; c++) known += lmp_elem_of((char)c) != LMP_EL_COUNT;
  assert_int_equal(known, strlen(codes));
}

static void test_a_store_touches_nothing_beside_it(void **state) {
  (void)state;
  for (lmp_elem t = 0; t < LMP_EL_COUNT; t++) {
    uint64_t words[3] = {UINT64_MAX, UINT64_MAX, UINT64_MAX};
    size_t size = (size_t)1 << lmp_elem_shift(t);
    uint8_t *p = (uint8_t *)&words[1];
    lmp_elem_store(t, p + size % 8, 0);
    for (size_t i = 0; i < sizeof words; i++) {
      bool inside = i >= 8 + size % 8 && i < 8 + size % 8 + size;
      assert_int_equal(((uint8_t *)words)[i], inside ? 0 : 0xff);
    }
  }
}

static void test_add_wraps_as_the_type_does(void **state) {
  (void)state;
  for (lmp_elem t = LMP_EL_I8; t <= LMP_EL_U64; t++) {
    for (int i = 0; i < 1000; i++) {
      uint64_t x = cut(t, next_random());
      uint64_t n = next_random();
      uint64_t word = UINT64_MAX;
      lmp_elem_store(t, &word, x);
      assert_int_equal(lmp_elem_add(t, &word, n), cut(t, x + n));
      assert_int_equal(lmp_elem_load(t, &word), cut(t, x + n));
      assert_int_equal(lmp_elem_exchange(t, &word, x), cut(t, x + n));
      assert_int_equal(lmp_elem_load(t, &word), x);
    }
  }
  for (lmp_elem t = LMP_EL_F32; t <= LMP_EL_F64; t++) {
    uint64_t word = 0;
    lmp_elem_store(t, &word, of_float(t, 1.5));
    assert_true(float_of(t, lmp_elem_add(t, &word, lmp_bits_f64(-4))) == -2.5);
    assert_true(float_of(t, lmp_elem_load(t, &word)) == -2.5);
  }
}

static void test_cas_compares_meanings(void **state) {
  (void)state;
  for (lmp_elem t = 0; t < LMP_EL_COUNT; t++) {
    uint64_t one = is_float(t) ? of_float(t, 1) : 1;
    uint64_t two = is_float(t) ? of_float(t, 2) : t == LMP_EL_BOOL ? 0 : 2;
    uint64_t word = 0;
    uint64_t seen = two;
    lmp_elem_store(t, &word, one);
    assert_false(lmp_elem_cas(t, &word, &seen, two));
    assert_int_equal(seen, one);
    assert_true(lmp_elem_cas(t, &word, &seen, two));
    assert_int_equal(seen, one);
    assert_int_equal(lmp_elem_load(t, &word), two);
  }
  uint8_t odd = 77; /* another true */
  uint64_t seen = 1;
  assert_true(lmp_elem_cas(LMP_EL_BOOL, &odd, &seen, 0));
  uint64_t word = lmp_bits_f64(-0.0);
  seen = lmp_bits_f64(0.0);
  assert_true(lmp_elem_cas(LMP_EL_F64, &word, &seen, lmp_bits_f64(NAN)));
  assert_int_equal(seen, lmp_bits_f64(-0.0));
  seen = lmp_bits_f64(-(double)NAN);
  assert_true(lmp_elem_cas(LMP_EL_F64, &word, &seen, 0));
}

/* -- threads ------------------------------------------------------------------------------------- */

#define THREADS 4
#define ROUNDS 3000

typedef struct racers {
  lmp_elem t;
  uint64_t elems[4];
} racers;

static void *race(void *arg) {
  racers *r = arg;
  uint64_t one = is_float(r->t) ? lmp_bits_f64(1) : 1;
  uint8_t *p = (uint8_t *)r->elems;
  for (int i = 0; i < ROUNDS; i++) {
    lmp_elem_add(r->t, p, one);
    uint64_t seen = lmp_elem_load(r->t, p + 8);
    for (;;) { /* adds by cas */
      uint64_t more =
          is_float(r->t) ? of_float(r->t, float_of(r->t, seen) + 1) : cut(r->t, seen + 1);
      if (lmp_elem_cas(r->t, p + 8, &seen, more)) break;
    }
  }
  return NULL;
}

static void test_concurrent_adds_are_all_there(void **state) {
  (void)state;
  for (lmp_elem t = LMP_EL_I8; t < LMP_EL_BOOL; t++) {
    racers r = {.t = t};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
      assert_int_equal(pthread_create(&threads[i], NULL, race, &r), 0);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    uint64_t sum = is_float(t) ? of_float(t, THREADS * ROUNDS) : cut(t, THREADS * ROUNDS);
    assert_int_equal(lmp_elem_load(t, r.elems), sum);
    assert_int_equal(lmp_elem_load(t, (uint8_t *)r.elems + 8), sum);
  }
}

/* Two patterns that differ in every byte: a torn 64-bit element would show. */
static uint64_t torn_word;
static uint32_t torn_stop;
static void *tear(void *arg) {
  uint64_t i = 0;
  (void)arg;
  while (!lmp_load_acq32(&torn_stop)) {
    lmp_elem_store(LMP_EL_U64, &torn_word, i++ & 1 ? UINT64_MAX : 0);
  }
  return NULL;
}

static void test_elements_are_never_torn(void **state) {
  pthread_t thread;
  (void)state;
  assert_int_equal(pthread_create(&thread, NULL, tear, NULL), 0);
  for (int i = 0; i < 500000; i++) {
    uint64_t bits = lmp_elem_load(LMP_EL_U64, &torn_word);
    if (bits != 0 && bits != UINT64_MAX) fail_msg("%llx", (unsigned long long)bits);
  }
  lmp_store_rel32(&torn_stop, 1);
  pthread_join(thread, NULL);
}

/* -- many ---------------------------------------------------------------------------------------- */

#define MOST 5000
static uint64_t data[MOST], other[MOST], third[MOST];

/* Random elements; some floats special. */
static void scatter(lmp_elem t, void *p, uint64_t n, bool special) {
  for (uint64_t i = 0; i < n; i++) {
    uint64_t bits = next_random() >> (next_random() % 64);
    if (is_float(t)) {
      static const double odd[] = {0.0, -0.0, INFINITY, -INFINITY, NAN};
      double f = (double)(int64_t)next_random() / 1e12;
      if (special && next_random() % 4 == 0) f = odd[next_random() % 5];
      bits = of_float(t, f);
      if (isnan(f) && next_random() & 1) bits ^= UINT64_C(1) << (bits_of(t) - 1);
    }
    lmp_elem_store(t, (uint8_t *)p + (i << lmp_elem_shift(t)), cut(t, bits));
  }
}

static uint64_t at(lmp_elem t, const void *p, uint64_t i) {
  return lmp_elem_load(t, (const uint8_t *)p + (i << lmp_elem_shift(t)));
}

/* The order that sort promises. */
static int order(lmp_elem t, uint64_t a, uint64_t b) {
  if (is_float(t)) {
    double x = float_of(t, a);
    double y = float_of(t, b);
    if (isnan(x) || isnan(y)) return (isnan(x) != 0) - (isnan(y) != 0);
    if (x == 0 && y == 0) return (signbit(y) != 0) - (signbit(x) != 0);
    return (x > y) - (x < y);
  }
  if (is_signed(t)) return (widen(t, a) > widen(t, b)) - (widen(t, a) < widen(t, b));
  return (a > b) - (a < b);
}

static uint64_t some_length(void) {
  static const uint64_t lengths[] = {1, 2, 7, 8, 9, 63, 64, 65, 255, 256, 257, 4095, 4096, 4097};
  uint64_t r = next_random();
  return r & 1 ? lmp_max_u64(1, lengths[(r >> 8) % LMP_COUNT(lengths)]) : 1 + (r >> 8) % (MOST - 1);
}

static void test_sort_is_a_sort(void **state) {
  (void)state;
  for (lmp_elem t = 0; t < LMP_EL_COUNT; t++) {
    for (int round = 0; round < 12; round++) {
      uint64_t n = some_length();
      scatter(t, data, n, true);
      memcpy(other, data, sizeof data);
      assert_true(lmp_bulk_sort(t, data, n));
      for (uint64_t i = 1; i < n; i++)
        assert_true(order(t, at(t, data, i - 1), at(t, data, i)) <= 0);
      /* A permutation: as often each (the sign of a NaN aside), for some of them. */
      for (int probe = 0; probe < 6; probe++) {
        uint64_t x = at(t, other, next_random() % n);
        uint64_t before = 0;
        uint64_t after = 0;
        for (uint64_t i = 0; i < n; i++) {
          before += order(t, at(t, other, i), x) == 0;
          after += order(t, at(t, data, i), x) == 0;
        }
        assert_int_equal(before, after);
      }
    }
  }
  assert_true(lmp_bulk_sort(LMP_EL_F64, data, 0));
}

static void test_sum_least_greatest_find_are_those_of_a_simple_loop(void **state) {
  (void)state;
  for (lmp_elem t = 0; t < LMP_EL_COUNT; t++) {
    for (int round = 0; round < 20; round++) {
      uint64_t n = some_length();
      bool special = round & 1;
      scatter(t, data, n, special);
      uint64_t sum = 0;
      uint64_t least = at(t, data, 0);
      uint64_t greatest = least;
      double exact = 0;
      double size = 0;
      for (uint64_t i = 0; i < n; i++) {
        uint64_t x = at(t, data, i);
        bool nan = is_float(t) && isnan(float_of(t, x));
        bool none = is_float(t) && isnan(float_of(t, least));
        if (none || (!nan && order(t, x, least) < 0)) least = x;
        if (none || (!nan && order(t, x, greatest) > 0)) greatest = x;
        sum += t == LMP_EL_BOOL ? x != 0 : (uint64_t)widen(t, x);
        if (is_float(t)) exact += float_of(t, x);
        if (is_float(t)) size += fabs(float_of(t, x));
      }
      if (is_float(t)) {
        double got = lmp_f64_of(lmp_bulk_sum(t, data, n));
        assert_true(isnan(exact) ? isnan(got) : got == exact || fabs(got - exact) <= size * 1e-12);
      } else if (t != LMP_EL_CHAR) {
        assert_int_equal(lmp_bulk_sum(t, data, n), sum);
      }
      if (t != LMP_EL_BOOL) {
        assert_true(lmp_elem_same(t, lmp_bulk_least(t, data, n), least));
        assert_true(lmp_elem_same(t, lmp_bulk_greatest(t, data, n), greatest));
      }
      uint64_t x = at(t, data, next_random() % n);
      uint64_t first = 0;
      while (!lmp_elem_same(t, at(t, data, first), x)) first++;
      assert_int_equal(lmp_bulk_find(t, data, n, x), first);
    }
  }
}

static void test_only_nan_is_nan(void **state) {
  double all[3] = {NAN, -(double)NAN, NAN};
  (void)state;
  assert_true(isnan(lmp_f64_of(lmp_bulk_least(LMP_EL_F64, all, 3))));
  assert_true(isnan(lmp_f64_of(lmp_bulk_greatest(LMP_EL_F64, all, 3))));
  all[1] = INFINITY;
  assert_true(lmp_f64_of(lmp_bulk_least(LMP_EL_F64, all, 3)) == INFINITY);
  all[1] = -INFINITY;
  assert_true(lmp_f64_of(lmp_bulk_greatest(LMP_EL_F64, all, 3)) == -INFINITY);
  assert_int_equal(lmp_bulk_find(LMP_EL_F64, all, 3, lmp_bits_f64(NAN)), 0);
  assert_int_equal(lmp_bulk_find(LMP_EL_F64, all, 3, lmp_bits_f64(1)), 3);
}

static void test_fill_and_copy_keep_inside(void **state) {
  (void)state;
  for (lmp_elem t = 0; t < LMP_EL_COUNT; t++) {
    unsigned shift = lmp_elem_shift(t);
    for (int round = 0; round < 20; round++) {
      uint64_t n = some_length();
      uint64_t from = next_random() % n;
      uint64_t many = next_random() % (n - from + 1);
      uint64_t to = next_random() % (n - many + 1);
      uint64_t x = cut(t, next_random());
      scatter(t, data, n, true);
      memcpy(other, data, sizeof data);
      memcpy(third, data, sizeof data);
      lmp_bulk_fill(t, (uint8_t *)data + (from << shift), many, x);
      for (uint64_t i = 0; i < n; i++) {
        assert_int_equal(at(t, data, i), i >= from && i < from + many ? x : at(t, other, i));
      }
      lmp_bulk_copy(t, (uint8_t *)third + (to << shift), (uint8_t *)third + (from << shift), many);
      for (uint64_t i = 0; i < n; i++) {
        bool inside = i >= to && i < to + many;
        assert_int_equal(at(t, third, i), at(t, other, inside ? i - to + from : i));
      }
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_the_codes_have_the_sizes_of_c),
      cmocka_unit_test(test_a_store_touches_nothing_beside_it),
      cmocka_unit_test(test_add_wraps_as_the_type_does),
      cmocka_unit_test(test_cas_compares_meanings),
      cmocka_unit_test(test_concurrent_adds_are_all_there),
      cmocka_unit_test(test_elements_are_never_torn),
      cmocka_unit_test(test_sort_is_a_sort),
      cmocka_unit_test(test_sum_least_greatest_find_are_those_of_a_simple_loop),
      cmocka_unit_test(test_only_nan_is_nan),
      cmocka_unit_test(test_fill_and_copy_keep_inside),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

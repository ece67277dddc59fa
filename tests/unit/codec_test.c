/* codec_test.c: the message format without Lua: writer, reader, identity map, bytecode.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "codec/bytecode.h"
#include "codec/idmap.h"
#include "codec/reader.h"
#include "codec/writer.h"

/* Reads one item from a copy that ends where the buffer does, so that sanitizers see a byte too many. */
static bool read_one(const lmp_buf *b, lmp_item *it, size_t *left) {
  uint8_t *copy = malloc(b->len + 1);
  lmp_reader r;
  copy[0] = LMP_FORMAT_VERSION;
  memcpy(copy + 1, b->data, b->len);
  assert_true(lmp_reader_init(&r, copy, b->len + 1));
  bool ok = lmp_get_item(&r, it);
  *left = lmp_reader_left(&r);
  if (ok && it->kind == LMP_K_STRING)
    assert_memory_equal(it->data, copy + 1 + b->len - it->n, it->n);
  free(copy);
  return ok;
}

static void test_integers_of_every_size(void **state) {
  (void)state;
  lmp_buf b = {0};
  lmp_item it = {0};
  size_t left = 0;
  for (unsigned bit = 0; bit < 64; bit++) {
    for (int d = -2; d <= 2; d++) {
      for (int sign = 0; sign < 2; sign++) {
        uint64_t u = (UINT64_C(1) << bit) + (uint64_t)d;
        int64_t x = (int64_t)(sign ? 0 - u : u);
        b.len = 0;
        assert_true(lmp_put_int(&b, x));
        assert_true(b.len <= (x >= 0 && x < 128 ? 1 : x >= -128 && x < 128 ? 2 : 9));
        assert_true(read_one(&b, &it, &left) && left == 0);
        assert_int_equal(it.kind, LMP_K_INT);
        assert_true(it.i == x);
        for (b.len--; b.len > 0; b.len--) assert_false(read_one(&b, &it, &left));
      }
    }
  }
  lmp_buf_fini(&b);
}

static void test_strings_of_every_form(void **state) {
  (void)state;
  static const size_t sizes[] = {0, 1, 63, 64, 255, 256, 4095, 70000};
  static char text[70000];
  lmp_buf b = {0};
  lmp_item it = {0};
  size_t left = 0;
  for (size_t i = 0; i < LMP_COUNT(sizes); i++) {
    memset(text, 'a' + (int)i, sizeof text);
    b.len = 0;
    assert_true(lmp_put_string(&b, text, sizes[i]));
    assert_true(read_one(&b, &it, &left) && left == 0);
    assert_int_equal(it.kind, LMP_K_STRING);
    assert_int_equal(it.n, sizes[i]);
    b.len -= sizes[i] > 0;
    if (sizes[i]) assert_false(read_one(&b, &it, &left));
  }
  b.len = 0;
  assert_true(lmp_put_blob(&b, UINT64_MAX));
  assert_false(read_one(&b, &it, &left));
  lmp_buf_fini(&b);
}

static void test_varints_and_padding(void **state) {
  (void)state;
  lmp_buf b = {0};
  lmp_item it = {0};
  size_t left = 0;
  for (unsigned bit = 0; bit < 64; bit++) {
    uint64_t x = UINT64_C(1) << bit;
    b.len = 0;
    assert_true(lmp_put_u8(&b, LMP_T_REF) && lmp_put_varint(&b, x));
    assert_int_equal(b.len, 1 + lmp_varint_size(x));
    assert_true(read_one(&b, &it, &left) && it.kind == LMP_K_REF && it.n == x && left == 0);
    if (bit < 35) {
      lmp_set_varint(b.data + 1, 6, x);
      b.len = 7;
      assert_true(read_one(&b, &it, &left) && it.n == x && left == 0);
    }
  }
  static const uint8_t bad[] = {LMP_T_REF, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2};
  b.len = 0;
  assert_true(lmp_put_bytes(&b, bad, sizeof bad));
  assert_false(read_one(&b, &it, &left));
  lmp_buf_fini(&b);
}

static void test_tables_cannot_claim_more_than_there_is(void **state) {
  (void)state;
  static const struct {
    uint8_t bytes[4];
    bool ok;
  } cases[] = {{{LMP_FORMAT_VERSION, LMP_T_TABLE, 0, 4}, true},
               {{LMP_FORMAT_VERSION, LMP_T_TABLE, 0, 5}, false},
               {{LMP_FORMAT_VERSION, LMP_T_TABLE, 2, 0}, true},
               {{LMP_FORMAT_VERSION, LMP_T_TABLE, 3, 0}, false},
               {{LMP_FORMAT_VERSION, LMP_T_TABLE, 2, 1}, false},
               {{LMP_FORMAT_VERSION, LMP_T_TABLE, 61, 0}, false},
               {{LMP_FORMAT_VERSION, LMP_T_TABLE, 60, 0}, false},
               {{LMP_FORMAT_VERSION, LMP_T_TABLE, 1, 2}, true}};
  for (size_t i = 0; i < LMP_COUNT(cases); i++) {
    lmp_reader r;
    lmp_item it;
    assert_true(lmp_reader_init(&r, cases[i].bytes, 4));
    assert_int_equal(lmp_get_item(&r, &it), cases[i].ok);
  }
  for (uint64_t n = 1; n < 5000; n++) {
    uint64_t room = UINT64_C(1) << (lmp_hint_of(n) - 1);
    assert_true(room >= n && room / 2 < n);
  }
  assert_int_equal(lmp_hint_of(0), 0);
}

static void test_every_first_byte_is_safe(void **state) {
  (void)state;
  for (unsigned tag = 0; tag < 256; tag++) {
    for (size_t n = 1; n <= 24; n++) {
      uint8_t *p = malloc(1 + n);
      lmp_reader r;
      lmp_item it;
      memset(p, (int)tag, 1 + n);
      p[0] = LMP_FORMAT_VERSION;
      assert_true(lmp_reader_init(&r, p, 1 + n));
      bool ok = lmp_get_item(&r, &it);
      assert_true(r.p <= r.end && (ok || n < 24 || tag > 0));
      free(p);
    }
  }
  lmp_reader r;
  assert_false(lmp_reader_init(&r, "", 0));
  assert_false(lmp_reader_init(&r, "\x1bLua", 4));
}

static void test_the_map_finds_what_was_added_and_forgets(void **state) {
  (void)state;
  lmp_idmap m = {0};
  for (int round = 0; round < 3; round++) {
    lmp_idmap_reset(&m);
    assert_null(lmp_idmap_find(&m, 8, 0));
    for (uint64_t i = 1; i <= 5000; i++) {
      lmp_id *id = lmp_idmap_add(&m, i * 16, (unsigned)(i % LMP_IDMAP_KINDS));
      assert_non_null(id);
      assert_true(id->pos == UINT64_MAX);
      id->pos = i;
    }
    for (uint64_t i = 1; i <= 5000; i++) {
      assert_int_equal(lmp_idmap_find(&m, i * 16, (unsigned)(i % LMP_IDMAP_KINDS))->pos, i);
      assert_null(lmp_idmap_find(&m, i * 16, (unsigned)((i + 1) % LMP_IDMAP_KINDS)));
    }
  }
  m.epoch =
      UINT32_MAX / LMP_IDMAP_KINDS - 1; /* the counter comes round: nothing of old epochs appears */
  for (int round = 0; round < 4; round++) {
    lmp_idmap_reset(&m);
    assert_null(lmp_idmap_find(&m, 16, 1));
    assert_non_null(lmp_idmap_add(&m, 16, 1));
    assert_non_null(lmp_idmap_find(&m, 16, 1));
  }
  lmp_idmap_fini(&m);
}

static void test_bytecode_that_is_none_is_refused(void **state) {
  (void)state;
  static const uint8_t head[31] =
      "\x1bLua\x54\x00\x19\x93\r\n\x1a\n\x04\x08\x08\x78\x56\0\0\0\0\0\0\0\0\0\0\0\x28\x77\x40";
  bool env[1] = {true};
  lmp_buf out = {0};
  uint8_t code[80];
  assert_int_equal(lmp_bytecode_globals("", 0, env, 1, &out), LMP_E_FORMAT);
  srand(1);
  for (int i = 0; i < 20000; i++) {
    size_t len = 32 + (size_t)rand() % 48;
    uint8_t *p = malloc(len);
    for (size_t j = 0; j < sizeof code; j++)
      code[j] = (uint8_t)(rand() % 3 ? 0x80 + rand() % 4 : rand());
    for (size_t j = 0; j < sizeof head; j++) code[j] = head[j];
    memcpy(p, code, len);
    out.len = 0;
    lmp_err err = lmp_bytecode_globals(p, len, env, 1, &out);
    assert_true(err == LMP_OK || err == LMP_E_FORMAT);
    free(p);
  }
  lmp_buf_fini(&out);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_integers_of_every_size),
      cmocka_unit_test(test_strings_of_every_form),
      cmocka_unit_test(test_varints_and_padding),
      cmocka_unit_test(test_tables_cannot_claim_more_than_there_is),
      cmocka_unit_test(test_every_first_byte_is_safe),
      cmocka_unit_test(test_the_map_finds_what_was_added_and_forgets),
      cmocka_unit_test(test_bytecode_that_is_none_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* dicts_stress.c: a Dict, a Namespace and a List, used at random by several threads of one process.
 * SPDX-License-Identifier: MIT
 *
 * A value says whose it is and has bytes that follow from that. What is added to in the one dict that nobody clears
 * is exact at the end. */
#include <pthread.h>
#include <string.h>

#include "channel/dict.h"
#include "channel/list.h"
#include "process/process.h"
#include "stress.h"

enum { KEYS = 64, LENGTH = 40 };
#define LARGE (LMP_ENTRY_COPY_MAX + 100u)

static lmp_family *family;
static lmp_handle dict, names, sums, list;
static uint64_t stop_at, operations, added;

typedef struct worker {
  lmp_me *me;
  uint64_t rng;
  uint8_t in[LARGE];
  uint64_t out[LENGTH * LMP_ENTRY_COPY_MAX / 8];
} worker;

static lmp_obj *obj(lmp_handle h) { return lmp_obj_at(&family->a, h.obj); }
static uint32_t below(worker *w, uint32_t n) { return stress_below(&w->rng, n); }

/* -- values ------------------------------------------------------------------------------------- */

static lmp_msg value_of(worker *w, uint32_t k, lmp_iov *iov) {
  uint32_t version = below(w, 256);
  size_t len = below(w, 50) == 0 ? LARGE : 2 + below(w, below(w, 4) ? 20 : 200);
  w->in[0] = (uint8_t)k;
  w->in[1] = (uint8_t)version;
  for (size_t i = 2; i < len; i++) w->in[i] = (uint8_t)(k + version * 3 + i);
  *iov = (lmp_iov){w->in, len};
  return (lmp_msg){.iov = iov, .niov = 1, .len = len};
}

static void check(const lmp_out *v, uint32_t k) {
  must(v->len >= 2 && v->data[0] == (uint8_t)k);
  for (size_t i = 2; i < v->len; i++) must(v->data[i] == (uint8_t)(k + v->data[1] * 3u + i));
}

/* -- dicts -------------------------------------------------------------------------------------- */

static lmp_obj *any_dict(worker *w) { return obj(below(w, 2) ? dict : names); }

static void set(worker *w) {
  lmp_obj *o = any_dict(w);
  uint32_t k = below(w, KEYS);
  lmp_iov iov;
  lmp_msg m = value_of(w, k, &iov);
  lmp_dop op = {.key = lmp_dict_key(o, &k, sizeof k), .value = below(w, 3) ? &m : NULL};
  lmp_err e = lmp_dict_write(w->me, o, &op, LMP_FOREVER);
  must(!e || e == LMP_E_INTR);
}

static void get(worker *w) {
  lmp_obj *o = any_dict(w);
  uint32_t k = below(w, KEYS);
  lmp_out v = {.buf = (uint8_t *)w->out, .cap = sizeof w->out};
  lmp_dkey key = lmp_dict_key(o, &k, sizeof k);
  size_t need;
  must(lmp_dict_get(w->me, o, &key, &v, &need));
  if (v.found) check(&v, k);
  lmp_out_done(w->me, &v);
}

static void walk(worker *w) {
  lmp_obj *o = any_dict(w);
  uint32_t k;
  bool met[KEYS] = {false};
  lmp_dkey key = {0};
  for (bool first = true;; first = false) {
    lmp_out v = {.buf = (uint8_t *)w->out, .cap = sizeof w->out};
    size_t need;
    must(lmp_dict_next(w->me, o, first ? NULL : &key, &v, &need));
    if (!v.found) break;
    must(v.klen == sizeof k);
    memcpy(&k, v.key, sizeof k);
    check(&v, k);
    lmp_out_done(w->me, &v);
    must(k < KEYS && !met[k]);
    met[k] = true;
    key = lmp_dict_key(o, &k, sizeof k);
  }
}

static void clear(worker *w) {
  if (below(w, 20)) return;
  lmp_err e = lmp_dict_clear(w->me, any_dict(w), LMP_FOREVER);
  must(!e || e == LMP_E_INTR);
}

static void count(worker *w) { must(lmp_dict_count(any_dict(w)) <= KEYS); }

/* -- sums ---------------------------------------------------------------------------------------- */

static lmp_dact one_more(void *arg, lmp_entry *old, lmp_entry *fresh) {
  uint64_t n = 0;
  (void)arg;
  if (old) memcpy(&n, lmp_entry_value(old), sizeof n);
  n++;
  memcpy(lmp_entry_value(fresh), &n, sizeof n);
  fresh->en_vlen = sizeof n;
  return LMP_DICT_STORE;
}

static void incr(worker *w) {
  uint32_t k = below(w, 4);
  lmp_dop op = {.key = lmp_dict_key(obj(sums), &k, sizeof k), .room = 8, .decide = one_more};
  if (lmp_dict_write(w->me, obj(sums), &op, LMP_FOREVER) == LMP_OK) lmp_add_ar64(&added, 1);
}

static uint64_t sum_at(lmp_me *me, uint32_t k) {
  uint64_t n = 0;
  uint64_t buf[2];
  lmp_out v = {.buf = (uint8_t *)buf, .cap = sizeof buf};
  lmp_dkey key = lmp_dict_key(obj(sums), &k, sizeof k);
  size_t need;
  must(lmp_dict_get(me, obj(sums), &key, &v, &need));
  if (v.found) memcpy(&n, v.data, sizeof n);
  return n;
}

static void update(worker *w) {
  uint32_t k = below(w, 4);
  lmp_dkey key = lmp_dict_key(obj(sums), &k, sizeof k);
  if (lmp_dict_hold(w->me, obj(sums), &key, LMP_FOREVER)) return;
  uint64_t n = sum_at(w->me, k) + 1;
  lmp_iov iov = {&n, sizeof n};
  lmp_msg m = {.iov = &iov, .niov = 1, .len = sizeof n};
  lmp_dop op = {.key = key, .value = &m, .held = true};
  if (below(w, 4) && lmp_dict_write(w->me, obj(sums), &op, LMP_FOREVER) == LMP_OK) {
    lmp_add_ar64(&added, 1);
  } else {
    lmp_dict_release(w->me, obj(sums), &key);
  }
}

/* -- the list ------------------------------------------------------------------------------------ */

static void put(worker *w) {
  uint32_t n = lmp_list_count(obj(list));
  uint32_t at = below(w, 3) ? below(w, n + 1) : LMP_LIST_END;
  lmp_iov iov;
  lmp_msg m = value_of(w, 7, &iov);
  lmp_err e = n < LENGTH && below(w, 4) ? lmp_list_insert(w->me, obj(list), at, &m, LMP_FOREVER)
                                        : lmp_list_set(w->me, obj(list), at, &m, LMP_FOREVER);
  must(!e || e == LMP_E_INVAL || e == LMP_E_INTR);
}

static void take(worker *w) {
  lmp_out v = {0};
  uint32_t at = below(w, 3) ? below(w, LENGTH) : LMP_LIST_END;
  if (lmp_list_remove(w->me, obj(list), at, false, &v)) return;
  check(&v, 7);
  lmp_out_done(w->me, &v);
}

static void look(worker *w) {
  lmp_out v[LENGTH * 2];
  uint32_t n = below(w, 2) ? 1 : LENGTH * 2;
  size_t need;
  if (n == 1) {
    v[0] = (lmp_out){.buf = (uint8_t *)w->out, .cap = sizeof w->out};
    must(lmp_list_get(w->me, obj(list), below(w, LENGTH), &v[0], &need));
    n = v[0].found;
  } else if (!lmp_list_copy(w->me, obj(list), 0, n, v, &n, (uint8_t *)w->out, sizeof w->out)) {
    return;
  }
  for (uint32_t i = 0; i < n; i++) {
    check(&v[i], 7);
    lmp_out_done(w->me, &v[i]);
  }
}

static void collect(worker *w) {
  if (below(w, 20) == 0) lmp_collect(w->me);
}

/* -- threads ------------------------------------------------------------------------------------ */

static void (*const acts[])(worker *) = {set,    set, set, get,  get,  walk,  count,  incr,
                                         update, put, put, take, look, clear, collect};

static void *work(void *arg) {
  worker *w = calloc(1, sizeof *w);
  must(w && lmp_family_me(family, &w->me) == LMP_OK);
  w->rng = *(uint64_t *)arg;
  uint32_t n = 0;
  uint32_t most = 2000 + below(w, 20000);
  while (n < most && lmp_os_now() < stop_at) {
    for (int i = 0; i < 50; i++, n++) acts[below(w, LMP_COUNT(acts))](w);
    must(w->me->depth == 0);
  }
  lmp_add_ar64(&operations, n);
  free(w);
  return NULL;
}

static void at_rest(lmp_me *me) {
  uint64_t sum = 0;
  uint32_t blocks = 0;
  lmp_handle all[] = {dict, names, sums};
  for (uint32_t k = 0; k < 4; k++) sum += sum_at(me, k);
  must(sum == added);
  for (size_t i = 0; i < LMP_COUNT(all); i++) {
    must(!lmp_dict_valid(me, obj(all[i]), &blocks));
    lmp_obj_unref(me, all[i]);
  }
  must(!lmp_list_valid(me, obj(list), &blocks));
  lmp_obj_unref(me, list);
  lmp_collect(me);
  must(lmp_obj_count(&family->a) == 1); /* the main process */
  must(lmp_memory_used(&family->a) == 0);
}

int main(int argc, char **argv) {
  stress_options o = stress_start(argc, argv);
  lmp_me *me;
  must(lmp_family_new(UINT64_C(16) << 20, false, LMP_LOG_NONE, &family) == LMP_OK);
  must(lmp_family_me(family, &me) == LMP_OK);
  must(lmp_dict_new(me, LMP_KIND_DICT, NULL, 0, &dict) == LMP_OK);
  must(lmp_dict_new(me, LMP_KIND_NAMESPACE, NULL, 0, &names) == LMP_OK);
  must(lmp_dict_new(me, LMP_KIND_DICT, NULL, 0, &sums) == LMP_OK);
  must(lmp_list_new(me, NULL, 0, &list) == LMP_OK);
  stop_at = lmp_os_now() + o.seconds * LMP_SEC;
  pthread_t *threads = calloc(o.threads, sizeof *threads);
  uint64_t *seeds = calloc(o.threads, sizeof *seeds);
  must(threads && seeds);
  uint32_t rounds = 0;
  for (uint32_t i = 0; i < o.threads; i++) {
    seeds[i] = stress_random(&o.seed);
    must(pthread_create(&threads[i], NULL, work, &seeds[i]) == 0);
  }
  while (lmp_os_now() < stop_at) { /* a thread that has ended is followed by another one */
    uint32_t i = rounds++ % o.threads;
    must(pthread_join(threads[i], NULL) == 0);
    seeds[i] = stress_random(&o.seed);
    must(pthread_create(&threads[i], NULL, work, &seeds[i]) == 0);
  }
  for (uint32_t i = 0; i < o.threads; i++) must(pthread_join(threads[i], NULL) == 0);
  at_rest(me);
  printf("%llu operations, %u threads, %llu added\n", (unsigned long long)operations,
         rounds + o.threads, (unsigned long long)added);
  lmp_family_free(family);
  free(threads);
  free(seeds);
  return 0;
}

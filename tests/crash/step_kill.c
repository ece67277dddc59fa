/* crash/step_kill.c: kills real processes at every instruction: step_kill [-a] [-v] [-o OPERATION].
 * SPDX-License-Identifier: MIT
 *
 * A child does one operation under ptrace, one instruction at a time, in a real arena: memfd, futexes,
 * robust mutex. Three ways to look at it:
 *   snapshot  whenever an instruction changed the arena, a copy of it is what a kill would have left
 *             there: its owner is marked dead, and the copy is recovered and checked. All instructions
 *             of one run are covered in the time of one run.
 *   nested    for some of these states a second child recovers, under ptrace too, and is killed in turn
 *             at each of its changes.
 *   kill      SIGKILL after k instructions for some k: the kernel's own marks and wakes.
 * Stores inside of libc are seen when it returns; the explorer covers what lies between. -a: all states
 * and many more kills. */
#include <elf.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "channel/array.h"
#include "channel/dict.h"
#include "channel/list.h"
#include "channel/segment.h"
#include "check.h"
#include "step_kill.h"

#define LARGE 900u
enum { MAIN, VICTIM, REAPER };

place real;
static place copy, copy2;
static lmp_handle queue; /* the same name in all of them */
static lmp_handle object;
static uint32_t victim_slot, victim_id, second_id; /* who is dead in a copy */
static struct { uint64_t instructions, states, nested, kills, failures; } total;
static const char *operation = "";
static uint64_t at; /* instruction of the state that is looked at */
static bool verbose, failed;

static void fail(const char *what) {
  failed = true;
  if (total.failures++ < 10) {
    printf("%s: after %llu instructions: %s\n", operation, (unsigned long long)at, what);
  }
}

void step_must(bool ok, const char *what) {
  if (ok) return;
  printf("%s: %s\n", operation, what);
  exit(2);
}

/* -- messages ----------------------------------------------------------------------------------- */

static lmp_err put(place *p, size_t size, uint8_t id) {
  uint8_t bytes[LARGE];
  lmp_iov iov = {bytes, size};
  lmp_msg m = {.iov = &iov, .niov = 1, .len = size};
  size_t done;
  memset(bytes, id, size);
  return lmp_queue_put(&p->me, lmp_obj_at(&p->a, queue.obj), &m, 1, LMP_NOWAIT, &done);
}

/* Takes a message; returns its id, 0 when there is none. */
static uint8_t get(place *p) {
  static lmp_inbox box;
  if (!box.buf) step_must(lmp_inbox_init(&box), "memory");
  if (lmp_queue_get(&p->me, lmp_obj_at(&p->a, queue.obj), 1, LMP_NOWAIT, &box)) return 0;
  uint8_t id = box.in[0].data[0];
  for (size_t i = 0; i < box.in[0].len; i++) {
    if (box.in[0].data[i] != id) fail("a message is torn");
  }
  lmp_inbox_done(&p->me, &box, 0);
  return id;
}

/* -- operations ---------------------------------------------------------------------------------- */

static void set_inline(void) { step_must(put(&real, 5, 1) == LMP_OK, "put"); }
static void set_block(void) { step_must(put(&real, LARGE, 1) == LMP_OK, "put"); }
static void set_none(void) {}
static void set_full(void) {
  for (uint8_t i = 1; i <= 15; i++) step_must(put(&real, 5, i) == LMP_OK, "put");
}
static void set_object(void) { set_block(); }

static void do_put(void) { (void)!put(&real, 5, 99); }
static void do_put_block(void) { (void)!put(&real, LARGE, 99); }
static void do_get(void) { get(&real); }
static void do_get_all(void) {
  while (get(&real)) {
  }
}
static void do_alloc(void) {
  uint64_t off;
  if (lmp_alloc(&real.me, 1000, &off) == LMP_OK) lmp_free(&real.me, off);
}
static void do_run(void) {
  uint64_t off;
  if (lmp_alloc(&real.me, 2 * LMP_SPAN, &off) == LMP_OK) lmp_free(&real.me, off);
}
static void do_attach(void) {
  lmp_me_detach(&real.me);
  (void)!lmp_me_attach(&real.a, &real.me);
}
static void do_object(void) {
  lmp_handle h;
  if (lmp_queue_new(&real.me, "a name that is long enough", 26, 0, &h) == LMP_OK) {
    lmp_obj_unref(&real.me, h);
  }
}
static void do_array(void) {
  lmp_handle h;
  lmp_handle lock;
  if (lmp_array_new(&real.me, LMP_KIND_ARRAY, LMP_EL_U64, 100, NULL, 0, &h)) return;
  uint64_t *p = lmp_array_data(&real.a, lmp_obj_at(&real.a, h.obj));
  lmp_elem_add(LMP_EL_F64, p, lmp_bits_f64(1));
  (void)!lmp_array_rlock(&real.me, lmp_obj_at(&real.a, h.obj), &lock);
  lmp_obj_unref(&real.me, h);
  lmp_collect(&real.me);
}
static lmp_err set(lmp_obj *o, uint32_t k, size_t size, bool held) {
  static uint8_t bytes[LMP_ENTRY_COPY_MAX + 1];
  lmp_iov iov = {bytes, size};
  lmp_msg m = {.iov = &iov, .niov = 1, .len = size};
  lmp_dop op = {.key = lmp_dict_key(o, &k, sizeof k), .value = size ? &m : NULL, .held = held};
  return lmp_dict_write(&real.me, o, &op, LMP_NOWAIT);
}
/* Grows by a segment, and away again; a value in place, a large one, and one by a hold. */
static void do_dict(void) {
  lmp_handle h;
  uint32_t k = 0;
  if (lmp_dict_new(&real.me, LMP_KIND_DICT, NULL, 0, &h)) return;
  lmp_obj *o = lmp_obj_at(&real.a, h.obj);
  for (; k < 8; k++) (void)!set(o, k, 5, false);
  (void)!set(o, 0, 6, false);
  (void)!set(o, 1, LMP_ENTRY_COPY_MAX + 1, false);
  k = 2;
  lmp_dkey key = lmp_dict_key(o, &k, sizeof k);
  if (lmp_dict_hold(&real.me, o, &key, LMP_NOWAIT) == LMP_OK) (void)!set(o, k, 40, true);
  for (k = 0; k < 8; k++) (void)!set(o, k, 0, false);
  lmp_obj_unref(&real.me, h);
}

/* -- a dict that outlives the victim -------------------------------------------------------------- */

#define TABLE 8u
static lmp_handle table;

static void table_drop(lmp_me *me) {
  if (table.obj && lmp_obj_get(me->a, table)) lmp_obj_unref(me, table);
  if (me == &real.me) table = (lmp_handle){0, 0};
}

/* Key k has k as its first byte. */
static void set_table(void) {
  step_must(!lmp_dict_new(&real.me, LMP_KIND_DICT, NULL, 0, &table), "dict");
  for (uint32_t k = 0; k < TABLE; k++) {
    uint8_t bytes[LMP_ENTRY_COPY_MAX + 1] = {(uint8_t)k, 1};
    lmp_obj *o = lmp_obj_at(&real.a, table.obj);
    lmp_iov iov = {bytes, k == 5 ? sizeof bytes : 5};
    lmp_msg m = {.iov = &iov, .niov = 1, .len = iov.len};
    lmp_dop op = {.key = lmp_dict_key(o, &k, sizeof k), .value = &m};
    step_must(!lmp_dict_write(&real.me, o, &op, LMP_NOWAIT), "store");
  }
}

static void do_clear(void) {
  (void)!lmp_dict_clear(&real.me, lmp_obj_at(&real.a, table.obj), LMP_NOWAIT);
}

/* The second byte of a key's value, 0: there is none. */
static uint8_t second_byte(place *p, uint32_t k) {
  static uint64_t buf[LMP_ENTRY_COPY_MAX / 8];
  lmp_obj *o = lmp_obj_at(&p->a, table.obj);
  lmp_dkey key = lmp_dict_key(o, &k, sizeof k);
  lmp_out v = {.buf = (uint8_t *)buf, .cap = sizeof buf};
  size_t need;
  if (!lmp_dict_get(&p->me, o, &key, &v, &need) || !v.found) return 0;
  if (v.data[0] != k) fail("the value of another key");
  uint8_t b = v.data[1];
  lmp_out_done(&p->me, &v);
  return b;
}

static const char *table_valid(place *p) {
  uint32_t blocks = 0;
  return lmp_dict_valid(&p->me, lmp_obj_at(&p->a, table.obj), &blocks);
}

static const char *check_clear(place *p) {
  lmp_obj *o = lmp_obj_at(&p->a, table.obj);
  const char *bad = table_valid(p);
  uint64_t n = lmp_dict_count(o);
  if (n != 0 && n != TABLE) bad = "some were cleared";
  for (uint32_t k = 0; k < TABLE; k++) {
    if (second_byte(p, k) != (n ? 1 : 0)) bad = "an entry is not what it was";
  }
  table_drop(&p->me);
  return bad;
}

/* One more in the value of `arg`, the key; what is not there is 1 then. */
static lmp_dact one_more(void *arg, lmp_entry *old, lmp_entry *fresh) {
  lmp_entry_value(fresh)[0] = (uint8_t) * (uint32_t *)arg;
  lmp_entry_value(fresh)[1] = (uint8_t)(old ? lmp_entry_value(old)[1] + 1 : 1);
  fresh->en_vlen = 2;
  return LMP_DICT_STORE;
}
static lmp_dact if_absent(void *arg, lmp_entry *old, lmp_entry *fresh) {
  (void)arg, (void)fresh;
  return old ? LMP_DICT_KEEP : LMP_DICT_STORE;
}
static lmp_dact if_one(void *arg, lmp_entry *old, lmp_entry *fresh) {
  (void)arg, (void)fresh;
  return old && lmp_entry_value(old)[1] == 1 ? LMP_DICT_STORE : LMP_DICT_KEEP;
}

/* incr of one that is there and of one that is not, add, replace by a longer one. */
static void do_change(void) {
  lmp_obj *o = lmp_obj_at(&real.a, table.obj);
  for (uint32_t k = 0; k < 40; k += 10) {
    uint32_t key = k < 30 ? k : 1;
    uint8_t bytes[100] = {(uint8_t)key, 2};
    lmp_iov iov = {bytes, sizeof bytes};
    lmp_msg m = {.iov = &iov, .niov = 1, .len = iov.len};
    lmp_dop op = {.key = lmp_dict_key(o, &key, sizeof key), .arg = &key};
    if (k < 20) op.decide = one_more, op.room = 2;
    if (k >= 20) op.decide = k == 20 ? if_absent : if_one, op.value = &m;
    (void)!lmp_dict_write(&real.me, o, &op, LMP_NOWAIT);
  }
}

/* Each change is there or not, and none without those before it. */
static const char *check_change(place *p) {
  const char *bad = table_valid(p);
  unsigned incr = second_byte(p, 0);
  unsigned made = second_byte(p, 10);
  unsigned add = second_byte(p, 20);
  unsigned replace = second_byte(p, 1);
  if (incr < 1 || incr > 2 || made > 1 || (add != 0 && add != 2) || replace < 1 || replace > 2)
    bad = "a change is half done";
  if ((made && incr != 2) || (add && !made) || (replace == 2 && !add)) bad = "a change was lost";
  if (lmp_dict_count(lmp_obj_at(&p->a, table.obj)) != TABLE + (made != 0) + (add != 0))
    bad = "miscounted";
  table_drop(&p->me);
  return bad;
}

static void do_list(void) {
  lmp_iov iov = {"value", 5};
  lmp_msg m = {.iov = &iov, .niov = 1, .len = 5};
  lmp_handle h;
  if (lmp_list_new(&real.me, NULL, 0, &h)) return;
  lmp_obj *o = lmp_obj_at(&real.a, h.obj);
  for (uint32_t i = 0; i < 5; i++) (void)!lmp_list_insert(&real.me, o, i / 2, &m, LMP_NOWAIT);
  (void)!lmp_list_set(&real.me, o, 1, &m, LMP_NOWAIT);
  for (uint32_t i = 0; i < 4; i++) {
    lmp_out out = {0};
    if (lmp_list_remove(&real.me, o, i / 2, false, &out) == LMP_OK) lmp_out_done(&real.me, &out);
  }
  lmp_obj_unref(&real.me, h);
}
static void do_send(void) {
  lmp_iov iov = {"x", 1};
  lmp_handle h;
  size_t done;
  if (lmp_queue_new(&real.me, NULL, 0, 0, &h)) return;
  lmp_msg m = {.iov = &iov, .niov = 1, .len = 1, .handles = &h, .nhandles = 1};
  (void)!lmp_queue_put(&real.me, lmp_obj_at(&real.a, queue.obj), &m, 1, LMP_NOWAIT, &done);
  lmp_obj_unref(&real.me, h);
  lmp_collect(&real.me);
}
static void do_cancel(void) {
  lmp_handle was = queue;
  queue = object;
  (void)!put(&real, LARGE, 99);
  queue = was;
  lmp_queue_cancel(&real.me, lmp_obj_at(&real.a, object.obj));
}
/* One bell for all: whoever reaps rings each. */
void step_watch(const lmp_kind *kind, lmp_obj *o) {
  static uint32_t number = UINT32_MAX;
  uint64_t *flag;
  if (number == UINT32_MAX) step_must(!lmp_bell_claim(&real.me, &number), "bell");
  lmp_bell_empty(&real.a, number, LMP_BELL_SOCKET);
  step_must(!kind->watch(&real.me, o, &flag), "watch");
  lmp_bell_arm(flag, number);
}

/* Somebody waits for the queue by its bell, which the put rings. */
static void set_bell(void) { step_watch(&lmp_queue_kind, lmp_obj_at(&real.a, queue.obj)); }
static void do_trim(void) { lmp_memory_trim(&real.me, 16); }

static const step_op ops[] = {
    {"put_inline", set_inline, do_put, 1, 1, NULL},
    {"put_block", set_inline, do_put_block, 1, 1, NULL},
    {"put_first", set_none, do_put, 1, 0, NULL},
    {"put_segment", set_full, do_put_block, 1, 15, NULL},
    {"get_inline", set_inline, do_get, 1, 1, NULL},
    {"get_block", set_block, do_get, 1, 1, NULL},
    {"get_segment", set_full, do_get_all, 1, 15, NULL},
    {"alloc", set_none, do_alloc, 1, 0, NULL},
    {"run", set_none, do_run, 1, 0, NULL},
    {"attach", set_none, do_attach, 1, 0, NULL},
    {"object", set_none, do_object, 1, 0, NULL},
    {"array", set_none, do_array, 1, 0, NULL},
    {"dict", set_none, do_dict, 1, 0, NULL},
    {"dict_clear", set_table, do_clear, 1, 0, check_clear},
    {"dict_change", set_table, do_change, 1, 0, check_change},
    {"list", set_none, do_list, 1, 0, NULL},
    {"send", set_inline, do_send, 1, 1, NULL},
    {"cancel", set_object, do_cancel, 1, 1, NULL},
    {"trim", set_none, do_trim, 1, 0, NULL},
    {"put_bell", set_bell, do_put, 1, 0, NULL},
};

/* -- checks ------------------------------------------------------------------------------------- */

static const place *checked;
static bool ctx_lives(uint32_t id) { return id == checked->me.id; }
static bool ctx_sleeps(uint32_t id) {
  (void)id;
  return false;
}
static bool proc_lives(uint32_t slot) { return slot == checked->a.proc; }
static jmp_buf out;
static void check_fail(const char *what) {
  fail(what);
  longjmp(out, 1);
}

/* After the recovery: the invariants; the messages that were there, in order, without gaps but for what
 * a get took, then the new one or not; and it all still works. */
static void check_place(place *p, const step_op *op) {
  check_env e = {&p->me, ctx_lives, ctx_sleeps, proc_lives, check_fail};
  checked = p;
  if (setjmp(out)) return;
  check_arena(&e);
  const char *bad = op->check ? op->check(p) : NULL;
  if (bad) check_fail(bad);
  uint8_t expected = 0;
  for (;;) {
    uint8_t id = get(p);
    if (id == 0) break;
    if (expected && id != expected && id != 99 && id != 'x')
      check_fail("messages are out of order");
    if (!expected && id != 99 && id != 'x' && (id < op->first || id > op->last)) {
      check_fail("a message that nobody put");
    }
    expected = (uint8_t)(id + 1);
  }
  if (put(p, 5, 7) || put(p, LARGE, 8) || get(p) != 7 || get(p) != 8 || get(p) != 0) {
    check_fail("does not go on");
  }
  lmp_collect(&p->me);
  check_arena(&e);
  if (lmp_memory_used(&p->a) != 0) check_fail("memory is not given back");
  if (lmp_obj_count(&p->a) != 1) check_fail("objects stay");
}

/* -- copies ------------------------------------------------------------------------------------- */

/* What can differ between two states: all up to the spans, and the first part of the spans in use. */
#define LOOK 32768u
static uint64_t looked_end(const lmp_arena *a) { return a->h->hd_span_off; }

static bool differs(const lmp_arena *a, const lmp_arena *b) {
  uint64_t tables = a->h->hd_tag_off;
  uint32_t hwm = lmp_load_acq32(&a->h->hd_span_hwm);
  if (memcmp(a->base, b->base, tables) != 0) return true;
  if (memcmp(a->tags, b->tags, (size_t)hwm * LMP_TAGS * 2) != 0) return true;
  for (uint32_t s = 0; s < hwm; s++) {
    uint64_t off = a->h->hd_span_off + (uint64_t)s * LMP_SPAN;
    if (memcmp(a->base + off, b->base + off, LOOK) != 0) return true;
  }
  return false;
}

static void copy_arena(lmp_arena *to, const lmp_arena *from) {
  memcpy(to->base, from->base, looked_end(from));
  uint32_t hwm = to->h->hd_span_hwm;
  for (uint32_t s = 0; s < hwm && s < from->h->hd_nspan; s++) {
    uint64_t off = from->h->hd_span_off + (uint64_t)s * LMP_SPAN;
    memcpy(to->base + off, from->base + off, LMP_SPAN);
  }
}

/* The main process in a copy: its context there lives, by the word that it has. */
static void stand_in(place *p, uint32_t proc, uint32_t id, const lmp_me *like) {
  p->me = *like;
  p->me.a = &p->a;
  p->me.c = &p->a.ctxs[id - 1];
  p->me.id = id;
  p->me.depth = p->me.ntx = 0;
  p->a.proc = proc;
  memset(p->a.refs, 0, p->a.h->hd_nobj * sizeof *p->a.refs);
  for (uint32_t i = 1; i < p->a.h->hd_obj_hwm; i++) {
    if (p->a.objs[i].ob_holders[0] >> proc & 1) p->a.refs[i] = 1;
  }
}

/* What the kernel does to the word of the dead. */
static void mark_dead(place *p, uint32_t id) {
  uint32_t *life = lmp_os_life_word(&p->a.ctxs[id - 1].cx_life);
  if (*life & ~(LMP_LIFE_DEAD | 0x80000000u)) *life = LMP_LIFE_DEAD | (*life & 0x80000000u);
}

static place seen; /* the last state that was looked at */

static void recover_copy(place *p, const lmp_arena *from, const step_op *op) {
  copy_arena(&p->a, from);
  mark_dead(p, victim_id);
  if (second_id) mark_dead(p, second_id);
  stand_in(p, real.a.proc, real.me.id, &real.me);
  failed = false;
  lmp_reap_all(&p->me);
  lmp_reap_all(&p->me);
  check_place(p, op);
  if (failed) memset(p->a.base + p->a.h->hd_span_off, 0, (uint64_t)p->a.h->hd_nspan * LMP_SPAN);
}

/* -- ptrace ------------------------------------------------------------------------------------- */

extern const char __executable_start, etext;

static uint64_t pc_of(pid_t pid) {
#if defined(__x86_64__)
  struct user_regs_struct r;
#else
  struct user_pt_regs r;
#endif
  struct iovec v = {&r, sizeof r};
  if (ptrace(PTRACE_GETREGSET, pid, (void *)NT_PRSTATUS, &v)) return 0;
#if defined(__x86_64__)
  return r.rip;
#else
  return r.pc;
#endif
}

static bool ours(uint64_t pc) {
  return pc >= (uint64_t)(uintptr_t)&__executable_start && pc < (uint64_t)(uintptr_t)&etext;
}

/* One instruction; false when the child ended. */
static bool step(pid_t pid) {
  int status;
  if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL)) return false;
  if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status)) return false;
  return WSTOPSIG(status) == SIGTRAP;
}

static pid_t start(void (*body)(const step_op *op), const step_op *op) {
  int status;
  fflush(stdout);
  pid_t pid = fork();
  step_must(pid >= 0, "fork");
  if (pid == 0) {
    body(op);
    _exit(0);
  }
  step_must(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status), "the child does not stop");
  return pid;
}

static void finish(pid_t pid) {
  int status;
  kill(pid, SIGKILL);
  while (waitpid(pid, &status, 0) == pid && WIFSTOPPED(status)) kill(pid, SIGKILL);
}

static void stop_here(void) {
  if (ptrace(PTRACE_TRACEME, 0, NULL, NULL)) _exit(3);
  raise(SIGSTOP);
}

/* -- victims ------------------------------------------------------------------------------------ */

static lmp_handle *shared; /* [0]: an object that the victim made; [1]: its slot and id */

static void victim(const step_op *op) {
  uint32_t slot;
  lmp_obj_forget(&real.a);
  if (lmp_proc_claim(&real.a, UINT32_MAX, &slot) ||
      lmp_proc_enter(&real.a, slot, lmp_proc_gen(&real.a, slot)) ||
      lmp_me_attach(&real.a, &real.me) || lmp_obj_hold(&real.me, queue)) {
    _exit(4);
  }
  sync_hold(&real.me);
  pipe_hold(&real.me);
  if (table.obj && lmp_obj_hold(&real.me, table)) _exit(6);
  if (op->run == do_cancel && lmp_queue_new(&real.me, NULL, 0, 0, &object)) _exit(5);
  shared[1] = (lmp_handle){slot, real.me.id};
  stop_here();
  op->run();
}

static void reap_victim(const step_op *op) {
  stop_here();
  (void)op;
  lmp_reap_all(&copy.me);
}

/* The recovery of the state in `from`, killed at each of its changes. */
static void nested(const lmp_arena *from, const step_op *op) {
  /* A third context, that lives in the copy: of a process that is dead afterwards. */
  copy_arena(&copy.a, from);
  mark_dead(&copy, victim_id);
  uint32_t slot = victim_slot + 1;
  uint32_t id = victim_id + 1;
  lmp_ctx *c = &copy.a.ctxs[id - 1];
  copy.a.procs[slot].pr_state = LMP_PROC_WORD(LMP_PROC_ALIVE, lmp_proc_gen(&copy.a, slot));
  copy.a.h->hd_proc_hwm = slot + 1 > copy.a.h->hd_proc_hwm ? slot + 1 : copy.a.h->hd_proc_hwm;
  copy.a.h->hd_ctx_hwm = id > copy.a.h->hd_ctx_hwm ? id : copy.a.h->hd_ctx_hwm;
  memset(c, 0, sizeof *c);
  *lmp_os_life_word(&c->cx_life) = 0x80000000u | 4242;
  c->cx_state = LMP_CTX_STATE(LMP_CTX_LIVE, slot);
  stand_in(&copy, slot, id, &real.me);
  second_id = id;
  pid_t pid = start(reap_victim, op);
  copy_arena(&seen.a, &copy.a);
  uint64_t before = at;
  for (at = 0; step(pid); at++) {
    total.instructions++;
    if (!ours(pc_of(pid)) || !differs(&copy.a, &seen.a)) continue;
    copy_arena(&seen.a, &copy.a);
    total.nested++;
    recover_copy(&copy2, &copy.a, op);
  }
  at = before;
  finish(pid);
  second_id = 0;
}

/* -- runs --------------------------------------------------------------------------------------- */

static void prepare(const step_op *op) {
  while (get(&real)) {
  }
  sync_drop();
  pipe_drop();
  table_drop(&real.me);
  op->set();
}

static void bury(void) {
  lmp_reap_all(&real.me);
  lmp_reap_all(&real.me);
}

static uint64_t snapshots(const step_op *op, bool all) {
  prepare(op);
  pid_t pid = start(victim, op);
  victim_slot = shared[1].obj;
  victim_id = shared[1].gen;
  uint64_t states = 0;
  uint64_t n = 0;
  static uint8_t *last_image;
  if (!last_image) last_image = malloc(real.a.size);
  lmp_arena image = real.a;
  image.base = last_image;
  image.h = (lmp_hdr *)(void *)last_image;
  image.tags = (uint16_t *)(void *)(last_image + real.a.h->hd_tag_off);
  memset(last_image, 0, real.a.size);
  for (; step(pid); n++) {
    total.instructions++;
    at = n;
    if (!ours(pc_of(pid)) || !differs(&real.a, &image)) continue;
    copy_arena(&image, &real.a);
    recover_copy(&copy, &real.a, op);
    /* Of n states, those at the powers of two, or all. */
    if (all || (states & (states - 1)) == 0) nested(&real.a, op);
    states++;
  }
  finish(pid);
  bury();
  total.states += states;
  if (verbose)
    printf("  %llu instructions, %llu states\n", (unsigned long long)n, (unsigned long long)states);
  return n;
}

static void kills(const step_op *op, uint64_t n, unsigned count) {
  for (unsigned i = 0; i < count; i++) {
    prepare(op);
    pid_t pid = start(victim, op);
    uint64_t k = n * i / count;
    for (at = 0; at < k && step(pid); at++) total.instructions++;
    finish(pid);
    bury();
    total.kills++;
    failed = false;
    check_place(&real, op);
  }
}

static void make_place(place *p) {
  lmp_arena_config c = {.memory = LMP_ARENA_LEAST, .nproc = 6, .nctx = 6, .nobj = 12};
  step_must(lmp_arena_create(&p->a, &c) == LMP_OK, "no arena");
  p->a.kinds[LMP_KIND_QUEUE] = &lmp_queue_kind;
  p->a.kinds[LMP_KIND_ARRAY] = &lmp_array_kind;
  p->a.kinds[LMP_KIND_LARGE] = &lmp_large_kind;
  p->a.kinds[LMP_KIND_DICT] = &lmp_dict_kind;
  p->a.kinds[LMP_KIND_LIST] = &lmp_list_kind;
  sync_place(p);
  pipe_place(p);
  p->a.cpus = 1; /* no spinning */
}

static void visit(const step_op *op, const char *only, bool all) {
  if (only && strcmp(only, op->name) != 0) return;
  operation = op->name;
  uint64_t n = snapshots(op, all);
  kills(op, n, all ? 400 : 20);
  if (verbose) fflush(stdout);
}

int main(int argc, char **argv) {
  bool all = false;
  const char *only = NULL;
  uint32_t slot;
  int c;
  while ((c = getopt(argc, argv, "avo:")) != -1) {
    if (c == 'a') all = true;
    if (c == 'v') verbose = true;
    if (c == 'o') only = optarg;
    if (c == '?') return 2;
  }
  int shared_fd;
  void *page;
  step_must(lmp_os_memfd("shared", 4096, false, &shared_fd) == LMP_OK, "memfd");
  step_must(lmp_os_map(shared_fd, 4096, &page) == LMP_OK, "map");
  shared = page;
  make_place(&real);
  make_place(&copy);
  make_place(&copy2);
  make_place(&seen);
  step_must(!lmp_proc_claim(&real.a, UINT32_MAX, &slot) &&
                !lmp_proc_enter(&real.a, slot, lmp_proc_gen(&real.a, slot)),
            "enter");
  step_must(!lmp_me_attach(&real.a, &real.me), "attach");
  step_must(!lmp_queue_new(&real.me, NULL, 0, 0, &queue), "queue");
  for (size_t i = 0; i < LMP_COUNT(ops); i++) visit(&ops[i], only, all);
  for (const step_op *op = sync_ops; op->name; op++) visit(op, only, all);
  for (const step_op *op = pipe_ops; op->name; op++) visit(op, only, all);
  printf("%llu instructions, %llu states, %llu nested states, %llu kills, %llu violations\n",
         (unsigned long long)total.instructions, (unsigned long long)total.states,
         (unsigned long long)total.nested, (unsigned long long)total.kills,
         (unsigned long long)total.failures);
  return total.failures != 0;
}

/* oom.h: running a script with too little memory.
 * SPDX-License-Identifier: MIT
 *
 * A script runs with a Lua allocator that refuses everything from allocation N on, for N = 0, 1, ...
 * until it comes to its end. Each time: an error about memory; no internal lock is held; what the script
 * made in the shared memory is gone after a collection, and so are its bells and descriptors; and the
 * state is as usable as before. */
#ifndef LUAMP_TESTS_OOM_H
#define LUAMP_TESTS_OOM_H

#include "core.h"

#include <fcntl.h>
#include <lauxlib.h>
#include <lualib.h>

#include "lua/l_state.h"
#include "luamp.h"

/* The status of a child that comes out of its process's start, which must not happen. */
#define ESCAPED 96

typedef struct budget {
  long left; /* allocations that are granted; -1: all */
  size_t used;
} budget;

static inline void *limited(void *ud, void *p, size_t old, size_t size) {
  budget *b = ud;
  if (!p) old = 0; /* it is the kind of the object */
  if (size == 0) {
    b->used -= old;
    free(p);
    return NULL;
  }
  if (size > old && b->left == 0) return NULL;
  void *q = realloc(p, size);
  if (!q) return NULL;
  if (size > old && b->left > 0) b->left--;
  b->used += size - old;
  return q;
}

/* -- a state with what the scripts use ---------------------------------------------------------- */

static inline int state_setup(lua_State *L) {
  luaL_openlibs(L);
  luaL_requiref(L, "luamp", luaopen_luamp, 0);
  lua_setglobal(L, "mp");
  if (luaL_dostring(L,
                    "pcall(mp.configure, {memory = '4M'})\n"
                    "q = mp.Queue()\n"
                    "long = string.rep('long ', 1000)\n"
                    "class = {__index = {hello = 1}}\n"
                    "pcall(mp.register, 'class', class)\n")) {
    return lua_error(L);
  }
  return 0;
}

static inline lua_State *state_open(budget *b) {
  *b = (budget){.left = -1};
  lua_State *L = lua_newstate(limited, b);
  assert_non_null(L);
  lua_pushcfunction(L, state_setup);
  if (lua_pcall(L, 0, 0, 0)) fail_msg("%s", lua_tostring(L, -1));
  return L;
}

/* The figures that must come back. */
typedef struct figures {
  uint32_t objects;
  uint64_t memory;
  size_t handles;
  unsigned bells, descriptors;
} figures;

static inline unsigned bells_taken(const lmp_arena *a) {
  unsigned n = 0;
  for (uint32_t i = 0; i < a->h->hd_bell_hwm; i++) n += a->bells[i].be_owner != 0;
  return n;
}

static inline unsigned descriptors_open(void) {
  unsigned n = 0;
  for (int fd = 0; fd < 256; fd++) n += fcntl(fd, F_GETFD) >= 0;
  return n;
}

static inline void wait_for_children(lmp_family *f, lmp_me *me) {
  lmp_child child;
  while (lmp_children_get(f, 0, &child)) {
    lmp_obj_ref(me, child.h);
    assert_int_equal(lmp_process_join(f, me, child.h, LMP_FOREVER), LMP_OK);
    /* Not the end of one that came out of its process's start, into the parent's calls. */
    assert_int_not_equal(lmp_process_poll(f, me, child.h), LMP_EXITED | ESCAPED);
    lmp_obj_unref(me, child.h);
  }
}

static inline figures state_rest(lua_State *L) {
  lmp_me *me;
  lua_settop(L, 0);
  l_state *st = l_state_get(L);
  assert_int_equal(lmp_family_me(st->f, &me), LMP_OK);
  assert_int_equal(me->depth, 0);
  for (uint32_t i = 0; i < me->a->h->hd_ctx_hwm; i++) {
    const lmp_ctx *c = &me->a->ctxs[i];
    assert_int_equal(lmp_load_acq32(&c->cx_want[0]), 0);
    assert_int_equal(lmp_load_acq32(&c->cx_want[1]), 0);
    assert_int_equal(lmp_load_acq32(&c->cx_txn), 0);
    assert_int_equal(lmp_load_acq32(&c->cx_wait_n), 0);
  }
  assert_false(st->inbox_used);
  wait_for_children(st->f, me);
  lua_gc(L, LUA_GCCOLLECT);
  lua_gc(L, LUA_GCCOLLECT);
  lmp_reap_all(me);
  lmp_collect(me);
  return (figures){lmp_obj_count(me->a), lmp_memory_used(me->a), st->nhandles, bells_taken(me->a),
                   descriptors_open()};
}

static const char usable[] =
    "assert(q:empty(), 'a message is left')\n"
    "assert(q:put{1, {2}, q, long, function() return long end})\n"
    "local t = q:get()\n"
    "assert(t[2][1] == 2 and t[3] == q and t[4] == long and t[5]() == long)\n"
    "assert(q:put(7) and q:get() == 7)\n";

static inline void is_usable(lua_State *L) {
  if (luaL_dostring(L, usable)) fail_msg("not usable: %s", lua_tostring(L, -1));
}

/* What a failed script may have left on purpose: messages in the queue that it did not make. */
static inline void empty_queue(lua_State *L) {
  /* The last get finds it empty: then it has no segment either. */
  if (luaL_dostring(L, "while not q:empty() do pcall(q.get, q, 0) end q:get(0)")) fail();
}

static inline void about_memory(lua_State *L, int status, const char *script, long n) {
  const char *why = lua_tostring(L, -1);
  if (status == LUA_ERRMEM || (why && strstr(why, "memory"))) return;
  fail_msg("allocation %ld of: %s\n  fails with: %s", n, script, why ? why : "(no text)");
}

static inline void same(figures now, figures want, const char *script, long n) {
  if (now.objects == want.objects && now.memory == want.memory && now.handles == want.handles &&
      now.bells == want.bells && now.descriptors == want.descriptors) {
    return;
  }
  fail_msg(
      "after failed allocation %ld of: %s\n  objects %u, not %u; memory %llu, not %llu; handles "
      "%zu, not %zu; bells %u, not %u; descriptors %u, not %u",
      n, script, now.objects, want.objects, (unsigned long long)now.memory,
      (unsigned long long)want.memory, now.handles, want.handles, now.bells, want.bells,
      now.descriptors, want.descriptors);
}

/* What the children say on standard error is not for people. */
static inline int quiet(void) {
  int saved = dup(2);
  int null = open("/dev/null", O_WRONLY);
  assert_true(saved >= 0 && null >= 0);
  assert_int_equal(dup2(null, 2), 2);
  close(null);
  return saved;
}

static inline void loud(int saved) {
  assert_int_equal(dup2(saved, 2), 2);
  close(saved);
}

/* Runs the script until it passes; `step`: not every allocation, where each costs a fork. */
static inline void sweep_by(const char *script, long step) {
  budget b;
  lua_State *L = state_open(&b);
  pid_t self = getpid();
  int status;
  long n = 0;
  if (luaL_loadstring(L, script)) fail_msg("%s", lua_tostring(L, -1));
  lua_setglobal(L, "script");
  for (int i = 0; i < 2; i++) { /* what is made once and kept is made now */
    int saved = quiet();
    lua_getglobal(L, "script");
    status = lua_pcall(L, 0, 0, 0);
    loud(saved);
    if (status) fail_msg("%s\n  fails: %s", script, lua_tostring(L, -1));
    is_usable(L);
  }
  empty_queue(L);
  figures want = state_rest(L);
  do {
    lua_getglobal(L, "script");
    int saved = quiet();
    b.left = n;
    status = lua_pcall(L, 0, 0, 0);
    b.left = -1;
    if (getpid() != self) _exit(ESCAPED);
    loud(saved);
    if (status) about_memory(L, status, script, n);
    empty_queue(L);
    same(state_rest(L), want, script, n);
    is_usable(L);
    n += step;
  } while (status);
  assert_true(n > step);
  lua_close(L);
  assert_int_equal(b.used, 0);
}

static inline void sweep(const char *script) { sweep_by(script, 1); }

#endif

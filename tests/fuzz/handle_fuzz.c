/* handle_fuzz.c: sequences of operations with any names of objects, and any messages about handles.
 * SPDX-License-Identifier: MIT
 *
 * The input is a program of four bytes for each step: what, and three operands. Names come from the input:
 * they are right, stale, or nonsense; lmp_obj_get and lmp_obj_hold must tell. Messages carry handles that
 * the sender holds, as the channels ask for, and bytes of the input, which may refer to any of them or to
 * none: what arrives in Lua is decoded, or refused. After each program nothing may be left. */
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>
#include <lualib.h>

#include "lua/l_handle.h"
#include "lua/l_state.h"
#include "luamp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OWN = 8, KNOWN = 32 };

typedef struct program {
  const uint8_t *at, *end;
  lmp_arena *a;
  lmp_me *me;
  lmp_inbox box;
  lmp_handle own[OWN];
  uint32_t nown;
  lmp_handle known[KNOWN]; /* every name that there was lately */
  uint32_t nknown;
} program;

static lua_State *L;
static l_state *st;

static void must(bool ok) {
  if (!ok) abort();
}

static void know(program *p, lmp_handle h) { p->known[p->nknown++ % KNOWN] = h; }

static void own(program *p, lmp_handle h) {
  p->own[p->nown++] = h;
  know(p, h);
}

static bool is_own(const program *p, lmp_handle h) {
  for (uint32_t i = 0; i < p->nown; i++) {
    if (p->own[i].obj == h.obj && p->own[i].gen == h.gen) return true;
  }
  return false;
}

/* Any name: one that is or was right, one beside it, or four bytes of the input for each part. */
static lmp_handle any_name(program *p, const uint8_t *x) {
  lmp_handle h = {x[1], x[2]};
  if (x[1] & 1) h = p->known[x[2] % KNOWN];
  if (x[3] & 1) h.gen += (uint32_t)(x[3] >> 1) - 4;
  if (x[3] & 2) h.obj += (uint32_t)(x[3] >> 2) - 4;
  if (x[1] == 0xfe && p->end - p->at >= 8) {
    memcpy(&h, p->at, sizeof h);
    p->at += sizeof h;
  }
  return h;
}

static lmp_obj *own_queue(program *p, uint8_t which) {
  return lmp_obj_at(p->a, p->own[which % p->nown].obj);
}

static void make(program *p, const uint8_t *x) {
  static const char name[] = "a name that is sometimes too long for its place";
  lmp_handle h;
  if (p->nown == OWN) return;
  lmp_err e = lmp_queue_new(p->me, name, x[1] % sizeof name, x[2], &h);
  must(e == LMP_OK || e == LMP_E_NOMEM);
  if (!e) own(p, h);
}

static void drop(program *p, const uint8_t *x) {
  uint32_t i = x[1] % p->nown;
  lmp_handle h = p->own[i];
  p->own[i] = p->own[--p->nown];
  lmp_obj_unref(p->me, h);
}

static void look(program *p, const uint8_t *x) {
  lmp_handle h = any_name(p, x);
  lmp_obj *o = lmp_obj_get(p->a, h);
  if (is_own(p, h)) must(o != NULL);
  if (!o) return;
  must(o == lmp_obj_at(p->a, h.obj) && h.obj < p->a->h->hd_nobj && h.obj > 0);
  must(o->ob_gen == h.gen && o->ob_kind < LMP_KIND_COUNT);
}

static void hold(program *p, const uint8_t *x) {
  lmp_handle h = any_name(p, x);
  bool there = lmp_obj_get(p->a, h) != NULL;
  lmp_err e = lmp_obj_hold(p->me, h);
  must((e == LMP_OK) == there && (there || e == LMP_E_GONE));
  if (!there) return;
  if (p->nown < OWN && lmp_obj_at(p->a, h.obj)->ob_kind == LMP_KIND_QUEUE) {
    own(p, h);
  } else {
    lmp_obj_unref(p->me, h);
  }
}

/* A message of the next bytes of the input, with some of the handles that are held. */
static void put(program *p, const uint8_t *x) {
  size_t len = x[2];
  size_t done;
  if (len > (size_t)(p->end - p->at)) len = (size_t)(p->end - p->at);
  lmp_iov piece = {p->at, len};
  lmp_msg m = {.iov = &piece,
               .niov = 1,
               .len = len,
               .handles = p->own,
               .nhandles = x[3] % (p->nown + 1),
               .alone = x[3] & 0x80};
  p->at += len;
  lmp_err e = lmp_queue_put(p->me, own_queue(p, x[1]), &m, 1, LMP_NOWAIT, &done);
  must(e == LMP_OK || e == LMP_E_TIMEOUT || e == LMP_E_CLOSED);
}

static int decode(lua_State *l) {
  const lmp_in *in = lua_touserdata(l, 1);
  (void)l_decode(l, st->codec, in->data, in->len, in->handles, in->nhandles, 0);
  return 0;
}

static void get(program *p, const uint8_t *x) {
  lmp_err e = lmp_queue_get(p->me, own_queue(p, x[1]), x[2] % 8 + 1, LMP_NOWAIT, &p->box);
  must(e == LMP_OK || e == LMP_E_TIMEOUT || e == LMP_E_CLOSED);
  if (e) return;
  for (uint32_t i = 0; i < p->box.n; i++) {
    const lmp_in *in = &p->box.in[i];
    lua_pushcfunction(L, decode);
    lua_pushlightuserdata(L, (void *)(uintptr_t)in);
    must(lua_pcall(L, 1, 0, 0) == LUA_OK); /* any bytes are safe, and no error */
    for (uint32_t k = 0; k < in->nhandles; k++) {
      must(lmp_obj_get(p->a, in->handles[k]) != NULL);
      if (p->nown == OWN || !(x[3] & 1)) continue;
      lmp_obj_ref(p->me, in->handles[k]);
      own(p, in->handles[k]);
    }
    lmp_inbox_done(p->me, &p->box, i);
  }
}

static void finish(program *p, const uint8_t *x) {
  if (x[2] & 1) {
    lmp_queue_close(p->me, own_queue(p, x[1]));
  } else {
    lmp_queue_cancel(p->me, own_queue(p, x[1]));
  }
}

static void collect(program *p, const uint8_t *x) {
  if (x[1] & 1) lua_gc(L, LUA_GCCOLLECT);
  lmp_collect(p->me);
}

static void step(program *p) {
  uint8_t x[4];
  memcpy(x, p->at, sizeof x);
  p->at += sizeof x;
  if (p->nown == 0 || x[0] % 10 == 0) {
    make(p, x);
    return;
  }
  static void (*const acts[])(program *, const uint8_t *) = {look, look, hold,   put,    put,
                                                             get,  drop, finish, collect};
  acts[x[0] % 10 - 1](p, x);
}

static void at_rest(program *p) {
  for (uint32_t i = 0; i < p->nown; i++) {
    must(lmp_queue_valid(p->me, lmp_obj_at(p->a, p->own[i].obj)) == NULL);
  }
  while (p->nown) drop(p, (const uint8_t[4]){0});
  lua_settop(L, 0);
  lua_gc(L, LUA_GCCOLLECT);
  lua_gc(L, LUA_GCCOLLECT);
  lmp_collect(p->me);
  must(lmp_obj_count(p->a) == 1 && lmp_memory_used(p->a) == 0);
  must(p->me->depth == 0);
}

static void open_state(void) {
  L = luaL_newstate();
  must(L != NULL);
  luaL_openlibs(L);
  luaL_requiref(L, "luamp", luaopen_luamp, 0);
  lua_settop(L, 0);
  st = l_state_get(L);
  must(lmp_family_new(UINT64_C(4) << 20, false, LMP_LOG_NONE, &st->f) == LMP_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static program p;
  lmp_me *me;
  if (!L) {
    open_state();
    must(lmp_inbox_init(&p.box));
  }
  must(lmp_family_me(st->f, &me) == LMP_OK);
  p = (program){.at = data, .end = data + size, .a = &st->f->a, .me = me, .box = p.box};
  while (p.end - p.at >= 4) step(&p);
  at_rest(&p);
  return 0;
}

/* lua/l_channel.c: Lua values through a channel.
 * SPDX-License-Identifier: MIT */
#include "lua/l_channel.h"

#include <string.h>

#include "base/debug.h"
#include "lua/l_scalar.h"

#define GET_FLAGS L_FUNCTIONS

/* -- sending ------------------------------------------------------------------------------------- */

int l_sent(lua_State *L, lmp_err e) {
  if (e) return l_result(L, true, e, NULL);
  lua_pushboolean(L, 1);
  return 1;
}

/* A signal handler's turn in the middle of a wait on behalf of `u`. */
static void interrupted(lua_State *L, const l_obj *u) {
  l_interrupted(L);
  if (!u->open) luaL_error(L, "closed by a signal handler while in use");
}

lmp_err l_send_msg(lua_State *L, l_obj *u, lmp_me *me, lmp_obj *q, const lmp_msg *m,
                   uint64_t deadline) {
  for (;;) {
    size_t done;
    lmp_err e = lmp_queue_put(me, q, m, 1, deadline, &done);
    if (LMP_LIKELY(e != LMP_E_INTR)) return e;
    interrupted(L, u);
  }
}

/* Encodes anew after a signal: the hook that ran may have encoded something else. */
lmp_err l_send(lua_State *L, l_obj *u, lmp_me *me, lmp_obj *q, int arg, uint64_t deadline) {
  l_codec *c = u->st->codec;
  uint8_t bytes[L_FLAT_MAX];
  size_t len = l_scalar_encode(L, arg, bytes);
  if (!len && lua_type(L, arg) == LUA_TTABLE) len = l_flat_encode(L, c, arg, bytes);
  if (len) { /* numbers, short strings and flat tables of them need no buffers */
    lmp_iov piece = {bytes, len};
    lmp_msg m = {.iov = &piece, .niov = 1, .len = len};
    return l_send_msg(L, u, me, q, &m, deadline);
  }
  for (;;) {
    size_t n;
    size_t done;
    l_encode_begin(c);
    l_encode(L, c, arg, "message", L_SEND_FLAGS);
    const lmp_msg *m = l_encoded(c, &n);
    lmp_err e = lmp_queue_put(me, q, m, 1, deadline, &done);
    if (LMP_LIKELY(e != LMP_E_INTR)) return e;
    interrupted(L, u);
  }
}

/* -- receiving ----------------------------------------------------------------------------------- */

static int box_gc(lua_State *L) {
  lmp_inbox_fini(lua_touserdata(L, 1));
  return 0;
}

lmp_inbox *l_box(lua_State *L, l_state *st) {
  if (LMP_LIKELY(!st->inbox_used)) return &st->inbox;
  lmp_inbox *box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = (lmp_inbox){0};
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, box_gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  if (!lmp_inbox_init(box)) luaL_error(L, "not enough memory");
  return box;
}

void l_box_done(lmp_me *me, lmp_inbox *box) {
  for (uint32_t i = 0; i < box->n; i++) lmp_inbox_done(me, box, i);
  box->n = 0;
}

lmp_err l_receive(lua_State *L, l_obj *u, lmp_me *me, lmp_obj *q, uint32_t max, uint64_t deadline,
                  lmp_inbox *box) {
  for (;;) {
    lmp_err e = lmp_queue_get(me, q, max, deadline, box);
    if (LMP_LIKELY(e != LMP_E_INTR)) return e;
    interrupted(L, u);
  }
}

lmp_err l_poll(lua_State *L, l_obj *u, lmp_me *me, lmp_obj *q, uint64_t deadline) {
  for (;;) {
    lmp_err e = lmp_queue_poll(me, q, deadline);
    if (LMP_LIKELY(e != LMP_E_INTR)) return e;
    interrupted(L, u);
  }
}

int l_decode_value(lua_State *L, l_state *st, const lmp_in *in) {
  if (LMP_LIKELY(l_scalar_decode(L, in->data, in->len))) return 1;
  if (l_decode(L, st->codec, in->data, in->len, in->handles, in->nhandles, GET_FLAGS)) {
    luaL_error(L, "cannot rebuild a message: %s", lua_tostring(L, -1));
  }
  return 1;
}

/* Arguments of the protected decoders. */
typedef struct decoding {
  l_state *st;
  const lmp_inbox *box;
  l_decoder *decode;
  uint32_t i; /* the message being decoded */
  lua_Integer base;
} decoding;

static int protected_one(lua_State *L) {
  decoding *d = lua_touserdata(L, 1);
  return d->decode(L, d->st, &d->box->in[d->i]);
}

/* Appends all messages of the inbox to the table at 2. */
static int protected_all(lua_State *L) {
  decoding *d = lua_touserdata(L, 1);
  for (; d->i < d->box->n; d->i++) {
    d->decode(L, d->st, &d->box->in[d->i]);
    lua_rawseti(L, 2, d->base + d->i + 1);
  }
  return 0;
}

int l_push_received(lua_State *L, l_state *st, lmp_me *me, lmp_inbox *box, l_decoder *decode) {
  lmp_in *in = &box->in[0];
  if (LMP_LIKELY(!in->block && !in->nhandles)) {
    /* From the C stack: nothing to give back when decoding raises, and nothing of the inbox that a
     * nested get could overwrite. */
    uint64_t copy[512 / sizeof(uint64_t)];
    lmp_in mine = {.data = (const uint8_t *)copy, .len = in->len};
    lmp_assert(in->len <= sizeof copy);
    memcpy(copy, in->data, in->len);
    return decode(L, st, &mine);
  }
  decoding d = {.st = st, .box = box, .decode = decode};
  bool outer = st->inbox_used;
  int top = lua_gettop(L);
  st->inbox_used = true;
  lua_pushcfunction(L, protected_one);
  lua_pushlightuserdata(L, &d);
  int status = lua_pcall(L, 1, LUA_MULTRET, 0);
  st->inbox_used = outer;
  l_box_done(me, box);
  if (status) lua_error(L);
  return lua_gettop(L) - top;
}

void l_append_received(lua_State *L, l_state *st, lmp_me *me, lmp_inbox *box, int list,
                       lua_Integer have) {
  decoding d = {.st = st, .box = box, .decode = l_decode_value, .base = have};
  bool outer = st->inbox_used;
  st->inbox_used = true;
  lua_pushcfunction(L, protected_all);
  lua_pushlightuserdata(L, &d);
  lua_pushvalue(L, list);
  int status = lua_pcall(L, 2, 0, 0);
  st->inbox_used = outer;
  l_box_done(me, box);
  if (status) lua_error(L);
}

/* lua/l_pipe.c: mp.Pipe and its connections.
 * SPDX-License-Identifier: MIT
 *
 *   mp.Pipe([duplex [, {name = string}]]) | mp.Pipe{name = string} -> connection, connection
 *   c:send(v [, timeout])  -> true | false, "closed" | false, "timeout" | false, "toolarge"
 *   c:recv([timeout])      -> v | nil, "closed" | nil, "timeout" | nil, "broken", text
 *   c:poll([timeout = 0])  -> boolean
 *   c:send_bytes(s [, i [, j [, timeout]]])     like send
 *   c:recv_bytes([maxlength [, timeout]])       -> s | nil, "closed" | nil, "timeout" | nil, "toolarge"
 *   c:fileno()                                  -> descriptor
 *
 * A message of send_bytes is one byte, RAW, and its bytes; that of send begins with the version of the
 * message format, which is not RAW. recv takes the one for what mp.decode takes, recv_bytes the other
 * for its bytes. */
#include <string.h>

#include "channel/pipe.h"
#include "codec/format.h"
#include "lua/l_channel.h"
#include "lua/l_handle.h"
#include "lua/l_state.h"
#include "sync/bell.h"

static const uint8_t RAW = 0;
_Static_assert(LMP_FORMAT_VERSION != 0, "tells encoded messages from raw ones");

/* The userdata of a connection. The bell is there from the first fileno on: number is 0 before. */
typedef struct l_conn {
  l_obj obj;
  lmp_fdbell bell;
  uint64_t bell_epoch; /* of the family in which it was opened: a child's parent owns it */
} l_conn;

static bool bell_ours(const l_conn *c) {
  const lmp_family *f = c->obj.st->f;
  return c->bell.number && f && !lmp_family_forked(f) && c->bell_epoch == f->epoch;
}

static void conn_ended(l_obj *u) {
  l_conn *c = (l_conn *)u;
  lmp_me *me;
  if (c->bell.number == 0) return;
  if (bell_ours(c) && lmp_family_me(u->st->f, &me) == LMP_OK) {
    lmp_fdbell_close(me, &c->bell);
  } else {
    lmp_fdbell_forget(&c->bell);
  }
}

const l_kind l_conn_kind = {.size = sizeof(l_conn), .ended = conn_ended};

/* After something was received, or came too late: the descriptor shows what is so now. */
static void show(l_obj *u, lmp_me *me) {
  l_conn *c = (l_conn *)u;
  if (LMP_UNLIKELY(c->bell.number) && bell_ours(c)) lmp_fdbell_show(me, &c->bell, u->o);
}

/* -- making -------------------------------------------------------------------------------------- */

static int pipe_new(lua_State *L) {
  static const char *const names[] = {"name", NULL};
  l_state *st = lua_touserdata(L, lua_upvalueindex(1));
  int opts = lua_istable(L, 1) ? 1 : 2;
  bool duplex = true;
  size_t len;
  lmp_handle ends[2];
  if (opts == 2 && !lua_isnoneornil(L, 1)) {
    luaL_checktype(L, 1, LUA_TBOOLEAN);
    duplex = lua_toboolean(L, 1);
  }
  l_options(L, opts, names);
  lua_settop(L, 2);
  const char *name = l_opt_name(L, opts, &len);
  lmp_me *me = l_me(L, st);
  l_obj *first = l_prepare(L, st, LMP_KIND_CONNECTION);
  l_obj *second = l_prepare(L, st, LMP_KIND_CONNECTION);
  lmp_err e = lmp_pipe_new(me, name, len, duplex, ends);
  if (e) { /* objects that nobody uses any more may be in the way */
    lua_gc(L, LUA_GCCOLLECT);
    lmp_collect(me);
    e = lmp_pipe_new(me, name, len, duplex, ends);
  }
  if (e) return l_raise(L, "cannot make a Pipe", e);
  l_open_quietly(first, ends[0]); /* both, before anything can raise */
  l_open_quietly(second, ends[1]);
  l_known(L, ends[1]);
  lua_pushvalue(L, -2);
  l_known(L, ends[0]);
  lua_insert(L, -2);
  return 2;
}

/* -- what all calls begin with ------------------------------------------------------------------- */

static lmp_obj *to_read(lua_State *L, const char *call, l_obj **u, lmp_me **me) {
  *u = l_check(L, 1, LMP_KIND_CONNECTION, me);
  lmp_obj *q = lmp_conn_in((*me)->a, (*u)->o);
  if (LMP_UNLIKELY(!q)) {
    const char *why = lmp_conn_of((*u)->o)->cn_in.obj
                          ? "a message was longer than recv_bytes was told to take"
                          : "it only sends";
    luaL_error(L, "'%s': %s cannot be read from: %s", call, luaL_tolstring(L, 1, NULL), why);
  }
  return q;
}

static lmp_obj *to_write(lua_State *L, const char *call, l_obj **u, lmp_me **me) {
  *u = l_check(L, 1, LMP_KIND_CONNECTION, me);
  lmp_obj *q = lmp_conn_out((*me)->a, (*u)->o);
  if (LMP_UNLIKELY(!q)) {
    luaL_error(L, "'%s': %s cannot be written to: it only receives", call,
               luaL_tolstring(L, 1, NULL));
  }
  return q;
}

/* -- sending ------------------------------------------------------------------------------------- */

static int c_send(lua_State *L) {
  lmp_me *me;
  l_obj *u;
  lmp_obj *q = to_write(L, "send", &u, &me);
  luaL_checkany(L, 2);
  uint64_t deadline = l_deadline(L, 3);
  return l_sent(L, l_send(L, u, me, q, 2, deadline));
}

/* Positions in a string of `len` bytes as string.sub takes them: [*from, *to). */
static void range(lua_State *L, int arg, size_t len, size_t *from, size_t *to) {
  lua_Integer n = (lua_Integer)len;
  lua_Integer i = luaL_optinteger(L, arg, 1);
  lua_Integer j = luaL_optinteger(L, arg + 1, -1);
  if (i < 0) i = i < -n ? 1 : n + i + 1;
  if (i == 0) i = 1;
  if (j < 0) j = j < -n ? 0 : n + j + 1;
  if (j > n) j = n;
  *from = i > j ? 0 : (size_t)i - 1;
  *to = i > j ? 0 : (size_t)j;
}

static int c_send_bytes(lua_State *L) {
  lmp_me *me;
  l_obj *u;
  size_t len;
  size_t from;
  size_t to;
  lmp_obj *q = to_write(L, "send_bytes", &u, &me);
  const char *s = luaL_checklstring(L, 2, &len);
  range(L, 3, len, &from, &to);
  uint64_t deadline = l_deadline(L, 5);
  lmp_iov pieces[2] = {{&RAW, 1}, {s + from, to - from}};
  lmp_msg m = {.iov = pieces, .niov = 2, .len = 1 + to - from};
  return l_sent(L, l_send_msg(L, u, me, q, &m, deadline));
}

/* -- receiving ----------------------------------------------------------------------------------- */

/* v | nil, "broken", text. Raw bytes may have come from anywhere: no functions. */
static int decode_any(lua_State *L, l_state *st, const lmp_in *in) {
  if (LMP_LIKELY(in->data[0] != RAW)) return l_decode_value(L, st, in);
  if (l_decode(L, st->codec, in->data + 1, in->len - 1, NULL, 0, 0) == LMP_OK) return 1;
  luaL_pushfail(L);
  lua_pushstring(L, lmp_err_code(LMP_E_BROKEN));
  lua_rotate(L, -3, 2);
  return 3;
}

static int decode_bytes(lua_State *L, l_state *st, const lmp_in *in) {
  (void)st;
  size_t head = in->data[0] == RAW;
  lua_pushlstring(L, (const char *)in->data + head, in->len - head);
  return 1;
}

static int c_recv(lua_State *L) {
  lmp_me *me;
  l_obj *u;
  lmp_obj *q = to_read(L, "recv", &u, &me);
  uint64_t deadline = l_deadline(L, 2);
  lmp_inbox *box = l_box(L, u->st);
  lmp_err e = l_receive(L, u, me, q, 1, deadline, box);
  show(u, me);
  if (LMP_UNLIKELY(e)) return l_result(L, false, e, NULL);
  return l_push_received(L, u->st, me, box, decode_any);
}

static int c_recv_bytes(lua_State *L) {
  lmp_me *me;
  l_obj *u;
  lmp_obj *q = to_read(L, "recv_bytes", &u, &me);
  lua_Integer max = luaL_optinteger(L, 2, LUA_MAXINTEGER);
  if (max < 0) luaL_argerror(L, 2, lua_pushfstring(L, "must not be negative, got %I", max));
  uint64_t deadline = l_deadline(L, 3);
  lmp_inbox *box = l_box(L, u->st);
  lmp_err e = l_receive(L, u, me, q, 1, deadline, box);
  show(u, me);
  if (LMP_UNLIKELY(e)) return l_result(L, false, e, NULL);
  const lmp_in *in = &box->in[0];
  if ((lua_Integer)in->len - (in->data[0] == RAW) > max) {
    l_box_done(me, box);
    lmp_conn_deafen(me, u->o);
    show(u, me);
    return l_result(L, false, LMP_E_TOOLARGE, NULL);
  }
  return l_push_received(L, u->st, me, box, decode_bytes);
}

static int c_poll(lua_State *L) {
  lmp_me *me;
  l_obj *u;
  lmp_obj *q = to_read(L, "poll", &u, &me);
  uint64_t deadline = lua_isnoneornil(L, 2) ? LMP_NOWAIT : l_deadline(L, 2);
  lua_pushboolean(L, l_poll(L, u, me, q, deadline) == LMP_OK);
  return 1;
}

static int c_fileno(lua_State *L) {
  lmp_me *me;
  l_obj *u;
  to_read(L, "fileno", &u, &me);
  l_conn *c = (l_conn *)u;
  if (c->bell.number && !bell_ours(c)) lmp_fdbell_forget(&c->bell);
  if (c->bell.number == 0) {
    lmp_err e = lmp_fdbell_open(me, &c->bell);
    if (e) return l_raise(L, "'fileno': cannot make a descriptor", e);
    c->bell_epoch = u->st->f->epoch;
  }
  show(u, me);
  lua_pushinteger(L, c->bell.fd);
  return 1;
}

static int items_next(lua_State *L) {
  lmp_me *me;
  l_obj *u;
  lmp_obj *q = to_read(L, "items", &u, &me);
  lmp_inbox *box = l_box(L, u->st);
  lmp_err e = l_receive(L, u, me, q, 1, LMP_FOREVER, box);
  show(u, me);
  if (e) return 0;
  if (l_push_received(L, u->st, me, box, decode_any) == 1) return 1;
  return luaL_error(L, "'items': cannot rebuild a message: %s", lua_tostring(L, -1));
}

static int c_items(lua_State *L) {
  lmp_me *me;
  l_obj *u;
  to_read(L, "items", &u, &me);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_pushcclosure(L, items_next, 1);
  lua_pushvalue(L, 1);
  return 2;
}

/* -- the end, and fields -------------------------------------------------------------------------- */

static int c_close(lua_State *L) {
  const l_obj *u = l_test(L, 1);
  if (!u || u->kind != LMP_KIND_CONNECTION) luaL_typeerror(L, 1, "Connection");
  return l_handle_gc(L);
}

/* The body of an end while the handle is open and the end there: one that was inherited may be gone. */
static const lmp_conn *body(const l_obj *u) {
  const lmp_obj *o = u->open && u->st->f ? lmp_obj_get(&u->st->f->a, u->h) : NULL;
  return o ? lmp_conn_of(o) : NULL;
}

/* Upvalue: the methods. */
static int conn_index(lua_State *L) {
  lua_settop(L, 2);
  lua_pushvalue(L, 2);
  if (LMP_LIKELY(lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL)) return 1;
  const l_obj *u = l_test(L, 1);
  const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
  const lmp_conn *c = u ? body(u) : NULL;
  if (!u) return 1;
  if (strcmp(key, "closed") == 0) {
    lua_pushboolean(L, !u->open);
  } else if (strcmp(key, "readable") == 0) {
    lua_pushboolean(L, c && c->cn_in.obj && !lmp_load_acq32(&c->cn_deaf));
  } else if (strcmp(key, "writable") == 0) {
    lua_pushboolean(L, c && c->cn_out.obj);
  }
  return 1;
}

static const luaL_Reg conn_meth[] = {
    {"send", c_send},
    {"recv", c_recv},
    {"poll", c_poll},
    {"send_bytes", c_send_bytes},
    {"recv_bytes", c_recv_bytes},
    {"items", c_items},
    {"fileno", c_fileno},
    {"close", c_close},
    {NULL, NULL},
};

static const luaL_Reg conn_meta[] = {
    {"__gc", l_handle_gc},
    {"__close", l_handle_gc},
    {"__tostring", l_handle_tostring},
    {NULL, NULL},
};

void l_pipe_funcs(lua_State *L, int st) {
  l_metatable(L, st, LMP_KIND_CONNECTION, "Connection", conn_meth, conn_meta);
  lua_getiuservalue(L, st, L_UV_METAS);
  lua_rawgeti(L, -1, LMP_KIND_CONNECTION);
  lua_getfield(L, -1, "__index");
  lua_pushcclosure(L, conn_index, 1);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 2);
  l_constructor(L, st, pipe_new, (const char *[]){"Pipe", "pipe", NULL});
}

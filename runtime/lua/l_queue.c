/* lua/l_queue.c: mp.Queue.
 * SPDX-License-Identifier: MIT
 *
 *   mp.Queue([maxsize [, {name = string}]]) | mp.Queue{name = string}
 *   q:put(v [, timeout]) -> true | false, "timeout" | false, "closed" | false, "toolarge"
 *   q:get([timeout])     -> v | nil, "timeout" | nil, "closed"
 *   q:put_many(list [, timeout]) -> n [, code]      q:get_many(max [, timeout]) -> list | nil, code */
#include <stdio.h>

#include "lua/l_channel.h"
#include "lua/l_handle.h"
#include "lua/l_state.h"

/* -- making -------------------------------------------------------------------------------------- */

static int queue_new(lua_State *L) {
  static const char *const names[] = {"name", NULL};
  l_state *st = lua_touserdata(L, lua_upvalueindex(1));
  int opts = lua_istable(L, 1) ? 1 : 2;
  lua_Integer maxsize = opts == 1 ? 0 : luaL_optinteger(L, 1, 0);
  size_t len;
  lmp_handle h;
  if (maxsize < 0) {
    luaL_argerror(L, 1, lua_pushfstring(L, "maxsize must not be negative, got %I", maxsize));
  }
  if (maxsize > LMP_QUEUE_MAX) maxsize = 0;
  l_options(L, opts, names);
  lua_settop(L, 2);
  const char *name = l_opt_name(L, opts, &len);
  lmp_me *me = l_me(L, st);
  l_obj *u = l_prepare(L, st, LMP_KIND_QUEUE);
  lmp_err e = lmp_queue_new(me, name, len, (uint32_t)maxsize, &h);
  if (e) { /* queues that nobody uses any more may be in the way */
    lua_gc(L, LUA_GCCOLLECT);
    e = lmp_queue_new(me, name, len, (uint32_t)maxsize, &h);
  }
  if (e) return l_raise(L, "cannot make a Queue", e);
  l_open(L, u, h);
  return 1;
}

/* -- put ----------------------------------------------------------------------------------------- */

static int q_put(lua_State *L) {
  lmp_me *me;
  l_obj *u = l_check(L, 1, LMP_KIND_QUEUE, &me);
  luaL_checkany(L, 2);
  uint64_t deadline = l_deadline(L, 3);
  return l_sent(L, l_send(L, u, me, u->o, 2, deadline));
}

static int q_put_nowait(lua_State *L) {
  lmp_me *me;
  l_obj *u = l_check(L, 1, LMP_KIND_QUEUE, &me);
  luaL_checkany(L, 2);
  return l_sent(L, l_send(L, u, me, u->o, 2, LMP_NOWAIT));
}

/* The length of a list: its field n where that is a count, or #list. */
static lua_Integer list_length(lua_State *L, int arg) {
  int is_int;
  luaL_checktype(L, arg, LUA_TTABLE);
  lua_pushliteral(L, "n");
  if (lua_rawget(L, arg) == LUA_TNIL) {
    lua_pop(L, 1);
    return (lua_Integer)lua_rawlen(L, arg);
  }
  lua_Integer n = lua_tointegerx(L, -1, &is_int);
  if (!is_int || n < 0) {
    const char *got = luaL_tolstring(L, -1, NULL);
    luaL_argerror(L, arg, lua_pushfstring(L, "field 'n' must be a count, got %s", got));
  }
  lua_pop(L, 1);
  return n;
}

static const lmp_msg *encode_list(lua_State *L, l_codec *c, int arg, lua_Integer from,
                                  lua_Integer to, size_t *n) {
  char root[48] = "list";
  l_encode_begin(c);
  for (lua_Integer i = from; i <= to; i++) {
    /* Only what may fail needs the name of its place. */
    if (lua_rawgeti(L, arg, i) > LUA_TSTRING)
      snprintf(root, sizeof root, "list[%lld]", (long long)i);
    l_encode(L, c, -1, root, L_SEND_FLAGS);
    lua_pop(L, 1); /* the list still holds it */
  }
  return l_encoded(c, n);
}

static int q_put_many(lua_State *L) {
  lmp_me *me;
  l_obj *u = l_check(L, 1, LMP_KIND_QUEUE, &me);
  lua_Integer len = list_length(L, 2);
  uint64_t deadline = l_deadline(L, 3);
  lua_Integer put = 0;
  lmp_err e = LMP_OK;
  while (put < len) {
    size_t n;
    size_t done;
    const lmp_msg *m = encode_list(L, u->st->codec, 2, put + 1, len, &n);
    e = lmp_queue_put(me, u->o, m, n, deadline, &done);
    put += (lua_Integer)done;
    if (e != LMP_E_INTR) break;
    l_interrupted(L);
  }
  lua_pushinteger(L, put);
  if (!e) return 1;
  lua_pushstring(L, lmp_err_code(e));
  return 2;
}

/* -- get ----------------------------------------------------------------------------------------- */

static int get_value(lua_State *L, l_obj *u, lmp_me *me, uint64_t deadline) {
  lmp_inbox *box = l_box(L, u->st);
  lmp_err e = l_receive(L, u, me, u->o, 1, deadline, box);
  if (LMP_UNLIKELY(e)) return l_result(L, false, e, NULL);
  return l_push_received(L, u->st, me, box, l_decode_value);
}

static int q_get(lua_State *L) {
  lmp_me *me;
  l_obj *u = l_check(L, 1, LMP_KIND_QUEUE, &me);
  return get_value(L, u, me, l_deadline(L, 2));
}

static int q_get_nowait(lua_State *L) {
  lmp_me *me;
  l_obj *u = l_check(L, 1, LMP_KIND_QUEUE, &me);
  return get_value(L, u, me, LMP_NOWAIT);
}

static int q_get_many(lua_State *L) {
  lmp_me *me;
  l_obj *u = l_check(L, 1, LMP_KIND_QUEUE, &me);
  lua_Integer max = luaL_checkinteger(L, 2);
  if (max < 1) luaL_argerror(L, 2, lua_pushfstring(L, "at least 1 expected, got %I", max));
  uint64_t deadline = l_deadline(L, 3);
  lmp_inbox *box = l_box(L, u->st);
  lua_Integer n = 0;
  uint32_t ask = max < UINT32_MAX ? (uint32_t)max : UINT32_MAX;
  /* Before anything is taken: what raises now loses nothing. */
  lua_createtable(L, max < 256 ? (int)max : 256, 1);
  lua_pushinteger(L, 0);
  lua_setfield(L, -2, "n");
  int list = lua_gettop(L);
  lmp_err e = l_receive(L, u, me, u->o, ask, deadline, box);
  if (e) return l_result(L, false, e, NULL);
  while (box->n) {
    uint32_t got = box->n;
    l_append_received(L, u->st, me, box, list, n);
    n += got;
    if (n == max) break;
    /* What cannot be rebuilt raises: it must not take along what this call has already. */
    ask = max - n < UINT32_MAX ? (uint32_t)(max - n) : UINT32_MAX;
    box->more = true;
    e = lmp_queue_get(me, u->o, ask, LMP_NOWAIT, box);
    box->more = false;
    if (e) break;
  }
  lua_pushinteger(L, n);
  lua_setfield(L, list, "n");
  lua_settop(L, list);
  return 1;
}

static int items_next(lua_State *L) {
  lmp_me *me;
  l_obj *u = l_check(L, 1, LMP_KIND_QUEUE, &me);
  lmp_inbox *box = l_box(L, u->st);
  if (l_receive(L, u, me, u->o, 1, LMP_FOREVER, box)) return 0;
  return l_push_received(L, u->st, me, box, l_decode_value);
}

static int q_items(lua_State *L) {
  lmp_me *me;
  l_check(L, 1, LMP_KIND_QUEUE, &me);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_pushcclosure(L, items_next, 1);
  lua_pushvalue(L, 1);
  return 2;
}

/* -- state --------------------------------------------------------------------------------------- */

static int q_qsize(lua_State *L) {
  lmp_me *me;
  l_obj *u = l_check(L, 1, LMP_KIND_QUEUE, &me);
  lua_pushinteger(L, lmp_queue_size(u->o));
  return 1;
}

static int q_empty(lua_State *L) {
  lmp_me *me;
  l_obj *u = l_check(L, 1, LMP_KIND_QUEUE, &me);
  lua_pushboolean(L, lmp_queue_size(u->o) == 0);
  return 1;
}

static int q_full(lua_State *L) {
  lmp_me *me;
  l_obj *u = l_check(L, 1, LMP_KIND_QUEUE, &me);
  lua_pushboolean(L, lmp_queue_full(u->o));
  return 1;
}

static int q_task_done(lua_State *L) {
  lmp_me *me;
  l_obj *u = l_check(L, 1, LMP_KIND_QUEUE, &me);
  if (lmp_queue_task_done(me, u->o)) {
    return luaL_error(L, "'task_done' of %s called more often than messages were put",
                      luaL_tolstring(L, 1, NULL));
  }
  return 0;
}

static int q_join(lua_State *L) {
  lmp_me *me;
  l_obj *u = l_check(L, 1, LMP_KIND_QUEUE, &me);
  uint64_t deadline = l_deadline(L, 2);
  lmp_err e;
  while ((e = lmp_queue_join(me, u->o, deadline)) == LMP_E_INTR) l_interrupted(L);
  return l_sent(L, e);
}

static int q_close(lua_State *L) {
  lmp_me *me;
  l_obj *u = l_check(L, 1, LMP_KIND_QUEUE, &me);
  lmp_queue_close(me, u->o);
  return 0;
}

static int q_cancel(lua_State *L) {
  lmp_me *me;
  l_obj *u = l_check(L, 1, LMP_KIND_QUEUE, &me);
  lmp_queue_cancel(me, u->o);
  return 0;
}

static const luaL_Reg queue_meth[] = {
    {"put", q_put},
    {"get", q_get},
    {"put_nowait", q_put_nowait},
    {"get_nowait", q_get_nowait},
    {"put_many", q_put_many},
    {"get_many", q_get_many},
    {"items", q_items},
    {"qsize", q_qsize},
    {"empty", q_empty},
    {"full", q_full},
    {"task_done", q_task_done},
    {"join", q_join},
    {"close", q_close},
    {"cancel", q_cancel},
    {NULL, NULL},
};

static const luaL_Reg queue_meta[] = {
    {"__gc", l_handle_gc},
    {"__tostring", l_handle_tostring},
    {"__len", q_qsize},
    {NULL, NULL},
};

void l_queue_funcs(lua_State *L, int st) {
  static const char *const names[] = {
      "Queue", "queue", "JoinableQueue", "joinable_queue", "SimpleQueue", "simple_queue", NULL};
  l_metatable(L, st, LMP_KIND_QUEUE, "Queue", queue_meth, queue_meta);
  l_constructor(L, st, queue_new, names);
}

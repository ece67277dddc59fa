/* lua/l_pool.c: tasks and results of lualib/luamp/pool/ on their way, and the loop that runs a batch.
 * SPDX-License-Identifier: MIT
 *
 *   core.task_put(queue, seq, tag, extra | marks, value, timeout [, root [, first, n]]) -> true | false, code
 *   core.task_get(queue, timeout, marks [, place]) -> seq, tag, extra, value | seq, tag, extra, nil, problem |
 *     nil, code; place(seq, tag, extra) -> table, first, n | nil says where the elements of a long list go
 *   core.task_run(f, items, out, first, last, marks, flags)
 *   core.task_list(n) -> {}   core.task_clear(list, n)   core.task_numbers(first, step, n) -> list
 *   core.task_check(value, root) -> bytes
 *   core.terminal() -> columns | nil
 *
 * A message is two messages in one: three integers, as a string, then the value. So whoever takes it knows whose
 * it is also when the value cannot be rebuilt there, for want of a module or of memory.
 *
 * `marks` is the worker's Array of MARK_COUNT 64-bit words, which the pool's owner reads, after the worker's
 * death, too. All are written by the worker alone, in an order that a reader may rely on, dead or alive:
 *   P1 MARK_SINCE, MARK_ITEM = 0, then MARK_SEQ, before the value is rebuilt: from then on the task had begun.
 *   P2 MARK_ITEM = i before the i-th item of a batch is run.
 * CRASH: a task that was taken without its mark was not begun; the owner gives it to another worker. */
#include <string.h>

#include "lua/l_array.h"
#include "lua/l_channel.h"
#include "lua/l_scalar.h"
#include "os/os.h"

enum { MARK_SEQ, MARK_ITEM, MARK_SINCE, MARK_WAITED, MARK_WORKED, MARK_COUNT };
/* Of core.task_run: the items are one list of arguments each; the time of each is noted. */
enum { RUN_SPREAD = 1, RUN_TIMED = 2 };

/* Three integers, and the message of the string that they are as bytes. */
enum { HEAD = 3, HEAD_BYTES = HEAD * sizeof(lua_Integer), HEAD_MESSAGE = 2 + HEAD_BYTES };
_Static_assert(HEAD_BYTES <= LMP_STR_TINY, "a version, a tag and the bytes");

#define LIST_ROOM 10000000 /* elements that a list has room for from the start, at most */

static uint64_t *marks_at(lua_State *L, int arg) {
  l_array *u = l_array_self(L, arg, LMP_KIND_ARRAY);
  if (u->len < MARK_COUNT || lmp_elem_shift(u->type) != 3)
    luaL_argerror(L, arg, "not the marks of a worker");
  return (uint64_t *)(void *)u->data;
}

/* -- sending ------------------------------------------------------------------------------------- */

/* What is being sent: the integers at 2 to 4. Where the last is the marks of a worker, it stands for the
 * nanoseconds that the worker has had its task. */
typedef struct head {
  lua_Integer x[HEAD];
  uint64_t *marks;
} head;

static head head_at(lua_State *L) {
  head h = {.x = {luaL_checkinteger(L, 2), luaL_checkinteger(L, 3)}};
  if (lua_isinteger(L, 4)) {
    h.x[2] = lua_tointeger(L, 4);
  } else {
    h.marks = marks_at(L, 4);
    h.x[2] = (lua_Integer)(lmp_os_now() - h.marks[MARK_SINCE]);
  }
  return h;
}

/* Once it was sent. */
static int head_sent(lua_State *L, const head *h, lmp_err e) {
  if (h->marks && !e) {
    uint64_t *worked = &h->marks[MARK_WORKED];
    lmp_store_rlx64(worked, *worked + (uint64_t)h->x[2]);
  }
  return l_sent(L, e);
}

/* Numbers, short strings and flat tables: on the C stack. Returns the length; 0: it takes l_encode. */
static size_t encode_small(lua_State *L, l_codec *c, const head *h, uint8_t *to) {
  to[0] = LMP_FORMAT_VERSION;
  to[1] = LMP_T_TINY + HEAD_BYTES;
  memcpy(to + 2, h->x, HEAD_BYTES);
  to += HEAD_MESSAGE;
  size_t len = l_scalar_encode(L, 5, to);
  if (!len && lua_type(L, 5) == LUA_TTABLE) len = l_flat_encode(L, c, 5, to);
  return len ? HEAD_MESSAGE + len : 0;
}

/* Any value, or the elements 8 to 8 + 9 - 1 of one. Pieces of messages that were encoded in one go lie one behind the other. */
static lmp_msg encode_any(lua_State *L, l_codec *c, const head *h, const char *root) {
  size_t n;
  lua_settop(L, 9);
  lua_pushlstring(L, (const char *)h->x, HEAD_BYTES); /* 10 */
  l_encode_begin(c);
  l_encode(L, c, 10, root, 0);
  if (lua_isnil(L, 8)) {
    l_encode(L, c, 5, root, L_SEND_FLAGS);
  } else {
    l_encode_slice(L, c, 5, lua_tointeger(L, 8), lua_tointeger(L, 9), root, L_SEND_FLAGS);
  }
  const lmp_msg *m = l_encoded(c, &n);
  lmp_msg all = m[1];
  all.iov = m[0].iov;
  all.niov += m[0].niov;
  all.len += m[0].len;
  return all;
}

static int task_put(lua_State *L) {
  lmp_me *me;
  uint8_t bytes[HEAD_MESSAGE + L_FLAT_MAX];
  l_obj *u = l_check(L, 1, LMP_KIND_QUEUE, &me);
  head h = head_at(L);
  uint64_t deadline = l_deadline(L, 6);
  const char *root = luaL_optstring(L, 7, "message");
  bool whole = lua_isnoneornil(L, 8);
  if (!whole) {
    luaL_checktype(L, 5, LUA_TTABLE);
    luaL_checkinteger(L, 8);
    luaL_checkinteger(L, 9);
  }
  size_t len = whole ? encode_small(L, u->st->codec, &h, bytes) : 0;
  if (len) {
    lmp_iov piece = {bytes, len};
    lmp_msg m = {.iov = &piece, .niov = 1, .len = len};
    return head_sent(L, &h, l_send_msg(L, u, me, u->o, &m, deadline));
  }
  for (;;) { /* anew after a signal, whose hook may have encoded something else */
    size_t done;
    lmp_msg m = encode_any(L, u->st->codec, &h, root);
    lmp_err e = lmp_queue_put(me, u->o, &m, 1, deadline, &done);
    if (e != LMP_E_INTR) return head_sent(L, &h, e);
    l_interrupted(L);
    u = l_check(L, 1, LMP_KIND_QUEUE, &me);
  }
}

/* core.task_check(value, root): the bytes of its message; raises, with the path from `root`, when the value cannot
 * be sent. */
static int task_check(lua_State *L) {
  l_state *st = lua_touserdata(L, lua_upvalueindex(1));
  const char *root = luaL_checkstring(L, 2);
  size_t n;
  l_encode_begin(st->codec);
  l_encode(L, st->codec, 1, root, L_SEND_FLAGS);
  const lmp_msg *m = l_encoded(st->codec, &n);
  lua_Integer len = (lua_Integer)m[0].len;
  l_encode_end(st->codec);
  lua_pushinteger(L, len);
  return 1;
}

/* -- receiving ----------------------------------------------------------------------------------- */

/* The integers of a message; false: it is none of task_put. */
static bool head_read(lua_Integer x[HEAD], const lmp_in *in) {
  if (in->len < HEAD_MESSAGE || in->data[0] != LMP_FORMAT_VERSION ||
      in->data[1] != LMP_T_TINY + HEAD_BYTES) {
    return false;
  }
  memcpy(x, in->data + 2, HEAD_BYTES);
  return true;
}

/* Pushes the integers of a message, and finds its value. */
static void push_head(lua_State *L, const lmp_in *in, const uint8_t **p, size_t *len) {
  lua_Integer x[HEAD] = {0};
  if (!head_read(x, in)) luaL_error(L, "damaged message of a pool");
  for (int i = 0; i < HEAD; i++) lua_pushinteger(L, x[i]);
  *p = in->data + HEAD_MESSAGE;
  *len = in->len - HEAD_MESSAGE;
}

/* What follows the integers: the value at the top, or a sentence about it. */
static int decoded(lua_State *L, lmp_err e) {
  if (!e) return HEAD + 1;
  lua_pushnil(L);
  lua_insert(L, -2);
  return HEAD + 2;
}

/* The decoder of what task_put puts. */
static int decode_task(lua_State *L, l_state *st, const lmp_in *in) {
  const uint8_t *p;
  size_t len;
  push_head(L, in, &p, &len);
  if (l_scalar_decode(L, p, len)) return HEAD + 1;
  return decoded(L, l_decode(L, st->codec, p, len, in->handles, in->nhandles, L_FUNCTIONS));
}

/* Arguments of decode_list. */
typedef struct listing {
  l_state *st;
  const lmp_in *in;
} listing;

/* The same for a long message, whose elements may have a place: (listing, place). */
static int decode_list(lua_State *L) {
  listing *d = lua_touserdata(L, 1);
  const uint8_t *p;
  size_t len;
  lua_Integer count;
  push_head(L, d->in, &p, &len); /* 3 to 5 */
  lua_pushvalue(L, 2);
  for (int i = 0; i < HEAD; i++) lua_pushvalue(L, 3 + i);
  lua_call(L, HEAD, 3); /* 6 to 8: table, first, n */
  if (lua_isnil(L, 6)) {
    lua_settop(L, 2);
    return decode_task(L, d->st, d->in);
  }
  lua_Integer first = luaL_checkinteger(L, 7), n = luaL_checkinteger(L, 8);
  lmp_err e = l_decode_list(L, d->st->codec, p, len, d->in->handles, d->in->nhandles, L_FUNCTIONS,
                            6, first, &count);
  for (lua_Integer i = count; !e && i >= 0 && i < n; i++) {
    lua_pushnil(L);
    lua_rawseti(L, 6, first + i);
  }
  lua_replace(L, 6);
  lua_settop(L, 6);
  return decoded(L, e);
}

static int push_long(lua_State *L, l_state *st, lmp_me *me, lmp_inbox *box, int place) {
  listing d = {st, &box->in[0]};
  bool outer = st->inbox_used;
  int top = lua_gettop(L);
  st->inbox_used = true;
  lua_pushcfunction(L, decode_list);
  lua_pushlightuserdata(L, &d);
  lua_pushvalue(L, place);
  int status = lua_pcall(L, 2, LUA_MULTRET, 0);
  st->inbox_used = outer;
  l_box_done(me, box);
  if (status) lua_error(L);
  return lua_gettop(L) - top;
}

static void mark_begun(uint64_t *marks, const lmp_in *in, uint64_t asked) {
  lua_Integer x[HEAD];
  uint64_t now = lmp_os_now();
  lmp_store_rlx64(&marks[MARK_WAITED], marks[MARK_WAITED] + (now - asked));
  if (!head_read(x, in)) return;
  lmp_store_rel64(&marks[MARK_SINCE], now); /* P1 */
  lmp_store_rel64(&marks[MARK_ITEM], 0);
  lmp_store_rel64(&marks[MARK_SEQ], (uint64_t)x[0]);
}

static int task_get(lua_State *L) {
  lmp_me *me;
  l_obj *u = l_check(L, 1, LMP_KIND_QUEUE, &me);
  uint64_t deadline = l_deadline(L, 2);
  uint64_t *marks = lua_isnoneornil(L, 3) ? NULL : marks_at(L, 3);
  uint64_t asked = marks ? lmp_os_now() : 0;
  lmp_inbox *box = l_box(L, u->st);
  lmp_err e = l_receive(L, u, me, u->o, 1, deadline, box);
  if (e) return l_result(L, false, e, NULL);
  if (marks) mark_begun(marks, &box->in[0], asked);
  if (box->in[0].block && !lua_isnoneornil(L, 4)) return push_long(L, u->st, me, box, 4);
  return l_push_received(L, u->st, me, box, decode_task);
}

/* -- running ------------------------------------------------------------------------------------- */

/* Pushes the items of the list at the top in its place; returns how many. */
static int spread(lua_State *L, lua_Integer i) {
  int list = lua_gettop(L), is_int;
  if (!lua_istable(L, list)) {
    return luaL_error(L, "list[%I]: table of arguments expected, got %s", i,
                      luaL_typename(L, list));
  }
  lua_pushliteral(L, "n");
  lua_rawget(L, list);
  lua_Integer n = lua_tointegerx(L, -1, &is_int);
  lua_pop(L, 1);
  if (!is_int || n < 0) n = (lua_Integer)lua_rawlen(L, list);
  if (n > INT32_MAX || !lua_checkstack(L, (int)n))
    return luaL_error(L, "list[%I]: too many arguments", i);
  for (lua_Integer k = 1; k <= n; k++) lua_rawgeti(L, list, k);
  lua_remove(L, list);
  return (int)n;
}

/* Calls f with each of items[first] to items[last], and puts the first results into `out`. Raises what f
 * raises; MARK_ITEM tells then where it was. */
static int task_run(lua_State *L) {
  enum { F = 1, ITEMS, OUT, FIRST, LAST, MARKS, FLAGS };
  lua_Integer first = luaL_checkinteger(L, FIRST), last = luaL_checkinteger(L, LAST);
  uint64_t *marks = marks_at(L, MARKS);
  lua_Integer flags = luaL_checkinteger(L, FLAGS);
  luaL_checktype(L, ITEMS, LUA_TTABLE);
  luaL_checktype(L, OUT, LUA_TTABLE);
  lua_settop(L, FLAGS);
  for (lua_Integer i = first; i <= last; i++) {
    int n = 1;
    if (flags & RUN_TIMED) lmp_store_rel64(&marks[MARK_SINCE], lmp_os_now());
    lmp_store_rel64(&marks[MARK_ITEM], (uint64_t)i); /* P2 */
    lua_pushvalue(L, F);
    lua_rawgeti(L, ITEMS, i);
    if (flags & RUN_SPREAD) n = spread(L, i);
    lua_call(L, n, 1);
    lua_rawseti(L, OUT, i);
  }
  return 0;
}

static void push_list(lua_State *L, lua_Integer n) {
  lua_createtable(L, n < LIST_ROOM ? (int)n : LIST_ROOM, 0);
}

/* core.task_list(n): an empty list with room for n elements, or for as many as are made at once. */
static int task_list(lua_State *L) {
  push_list(L, luaL_checkinteger(L, 1));
  return 1;
}

/* core.task_clear(list, n): its elements 1 to n are nil. */
static int task_clear(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  for (lua_Integer i = luaL_checkinteger(L, 2); i > 0; i--) {
    lua_pushnil(L);
    lua_rawseti(L, 1, i);
  }
  return 0;
}

/* core.task_numbers(first, step, n): a list of the numbers of a range. */
static int task_numbers(lua_State *L) {
  lua_Integer n = luaL_checkinteger(L, 3);
  push_list(L, n);
  for (lua_Integer i = 0; i < n; i++) {
    if (lua_isinteger(L, 1)) {
      lua_pushinteger(L, lua_tointeger(L, 1) + i * lua_tointeger(L, 2));
    } else {
      lua_pushnumber(L, lua_tonumber(L, 1) + (lua_Number)i * lua_tonumber(L, 2));
    }
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

/* -- the terminal -------------------------------------------------------------------------------- */

static int terminal(lua_State *L) {
  int columns = lmp_os_terminal_columns();
  if (columns < 0) return 0;
  lua_pushinteger(L, columns);
  return 1;
}

static const luaL_Reg pool_core[] = {
    {"task_put", task_put},     {"task_get", task_get},     {"task_run", task_run},
    {"task_list", task_list},   {"task_clear", task_clear}, {"task_numbers", task_numbers},
    {"task_check", task_check}, {"terminal", terminal},     {NULL, NULL},
};

void l_pool_core(lua_State *L, int st) {
  lua_pushvalue(L, st);
  luaL_setfuncs(L, pool_core, 1);
}

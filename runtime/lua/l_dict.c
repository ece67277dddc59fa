/* lua/l_dict.c: mp.Dict and mp.Namespace.
 * SPDX-License-Identifier: MIT
 *
 *   mp.Dict([{name = string}])                 d[k], d[k] = v, #d, pairs(d)
 *   d:get(k [, default]) -> v | default        d:set(k, v)
 *   d:add(k, v) -> boolean                     d:replace(k, old, new) -> boolean
 *   d:incr(k [, n [, initial]]) -> number      d:pop(k [, default]) -> v | default
 *   d:update(k, f, ...) -> f(old, ...)         d:keys() -> list    d:clear()
 * A key is the message of its value, in which equal keys are the same bytes. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "channel/dict.h"
#include "lua/l_guard.h"
#include "lua/l_handle.h"
#include "lua/l_value.h"

/* -- keys --------------------------------------------------------------------------------------- */

typedef struct d_key {
  uint8_t small[L_SCALAR_MAX];
  lmp_dkey k;
} d_key;

/* The message of a long string, in a userdata that is pushed. */
static const uint8_t *key_long(lua_State *L, int arg, size_t *len) {
  const char *s = lua_tolstring(L, arg, len);
  if (*len > UINT32_MAX / 2) luaL_argerror(L, arg, "the key is too long");
  lmp_buf b = {.cap = *len + 16};
  b.data = lua_newuserdatauv(L, b.cap, 0);
  b.data[b.len++] = LMP_FORMAT_VERSION;
  (void)!lmp_put_string(&b, s, *len);
  *len = b.len;
  return b.data;
}

static size_t key_float(lua_State *L, int arg, uint8_t to[L_SCALAR_MAX]) {
  lua_Integer i;
  lua_Number n = lua_tonumber(L, arg);
  if (isnan(n)) luaL_argerror(L, arg, "the key is not a number (nan)");
  if (!lua_numbertointeger(n, &i) || (lua_Number)i != n) return l_scalar_encode(L, arg, to);
  lmp_buf b = {to, 1, L_SCALAR_MAX};
  to[0] = LMP_FORMAT_VERSION;
  (void)!lmp_put_int(&b, i);
  return b.len;
}

/* The key at `arg`, valid while `key` and what may have been pushed are there. Raises for what is none. */
static void key_check(lua_State *L, int arg, const l_obj *u, d_key *key) {
  const uint8_t *data = NULL;
  size_t len = 0;
  switch (lua_type(L, arg)) {
    case LUA_TNUMBER:
      if (!lua_isinteger(L, arg)) {
        len = key_float(L, arg, key->small);
        break;
      } /* fallthrough */
    case LUA_TSTRING:
    case LUA_TBOOLEAN:
      len = l_scalar_encode(L, arg, key->small);
      if (!len) data = key_long(L, arg, &len);
      break;
    default:
      luaL_argerror(L, arg,
                    lua_pushfstring(L, "key: string, number or boolean expected, got %s",
                                    luaL_typename(L, arg)));
  }
  key->k = lmp_dict_key(u->o, data ? data : key->small, (uint32_t)len);
}

/* The upvalues of all functions here: the state, the kind, its methods (of a Namespace nil), d_next. */
static l_obj *check(lua_State *L, lmp_me **me) {
  uint32_t kind = (uint32_t)lua_tointeger(L, lua_upvalueindex(2));
  return l_check(L, 1, kind, me);
}

static const char *type_of(const l_obj *u) { return lmp_kinds[u->kind]->name; }

/* -- reading ------------------------------------------------------------------------------------ */

/* Reads into a userdata that is pushed. `next`: as d_next does. */
static LMP_NOINLINE void read_large(lua_State *L, l_obj *u, lmp_me *me, const lmp_dkey *key,
                                    bool next, lmp_out *out, size_t need) {
  bool fits = false;
  while (!fits) {
    out->buf = lua_newuserdatauv(L, need, 0);
    out->cap = need;
    fits =
        next ? lmp_dict_next(me, u->o, key, out, &need) : lmp_dict_get(me, u->o, key, out, &need);
  }
}

/* Pushes the value of a key; false, and nothing pushed, when there is none. */
static bool push_value(lua_State *L, l_obj *u, lmp_me *me, const lmp_dkey *key) {
  uint64_t buf[L_OUT_SMALL / sizeof(uint64_t)];
  size_t need;
  lmp_out out = {.buf = (uint8_t *)buf, .cap = sizeof buf};
  if (!lmp_dict_get(me, u->o, key, &out, &need)) read_large(L, u, me, key, false, &out, need);
  if (!out.found) return false;
  l_value_push(L, u->st, me, &out);
  return true;
}

static int d_get(lua_State *L) {
  lmp_me *me;
  d_key key;
  l_obj *u = check(L, &me);
  lua_settop(L, 3);
  key_check(L, 2, u, &key);
  if (!push_value(L, u, me, &key.k)) lua_pushvalue(L, 3);
  return 1;
}

/* Methods win. */
static int d_index(lua_State *L) {
  lmp_me *me;
  d_key key;
  l_obj *u = check(L, &me);
  lua_settop(L, 2);
  if (lua_type(L, 2) == LUA_TSTRING && lua_istable(L, lua_upvalueindex(3))) {
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(3)) != LUA_TNIL) return 1;
  }
  key_check(L, 2, u, &key);
  if (!push_value(L, u, me, &key.k)) lua_pushnil(L);
  return 1;
}

static int d_len(lua_State *L) {
  lmp_me *me;
  l_obj *u = check(L, &me);
  lua_pushinteger(L, (lua_Integer)lmp_dict_count(u->o));
  return 1;
}

/* next(d [, k]) -> k, v of the entry after k; of k itself nothing is wanted but its place. */
static int d_next(lua_State *L) {
  lmp_me *me;
  d_key key;
  uint64_t buf[L_OUT_SMALL / sizeof(uint64_t)];
  size_t need;
  lmp_out out = {.buf = (uint8_t *)buf, .cap = sizeof buf};
  l_obj *u = check(L, &me);
  lua_settop(L, 2);
  bool first = lua_isnil(L, 2);
  if (!first) key_check(L, 2, u, &key);
  const lmp_dkey *from = first ? NULL : &key.k;
  if (!lmp_dict_next(me, u->o, from, &out, &need)) read_large(L, u, me, from, true, &out, need);
  if (!out.found) {
    lua_pushnil(L);
    return 1;
  }
  int top = lua_gettop(L);
  l_value_push(L, u->st, me, &out);
  l_key_push(L, u->st, out.key, out.klen); /* in the buffer still */
  lua_insert(L, top + 1);
  return 2;
}

static int d_pairs(lua_State *L) {
  lmp_me *me;
  check(L, &me);
  lua_pushvalue(L, lua_upvalueindex(4));
  lua_pushvalue(L, 1);
  return 2;
}

/* The key after `from` (NULL: the first) into `to`, of L_OUT_SMALL bytes, or a userdata that is pushed. False: the
 * end. */
static bool key_after(lua_State *L, l_obj *u, lmp_me *me, const lmp_dkey *from, uint8_t *to,
                      lmp_dkey *key) {
  size_t need;
  lmp_out out = {.buf = to, .cap = L_OUT_SMALL, .no_value = true};
  if (!lmp_dict_next(me, u->o, from, &out, &need)) read_large(L, u, me, from, true, &out, need);
  if (out.found) *key = lmp_dict_key(u->o, out.key, out.klen);
  return out.found;
}

static int d_keys(lua_State *L) {
  lmp_me *me;
  uint64_t buf[2][L_OUT_SMALL / sizeof(uint64_t)];
  lmp_dkey key[2];
  l_obj *u = check(L, &me);
  lua_settop(L, 1);
  lua_newtable(L);
  lua_pushnil(L); /* the buffer of a long key, from which the next call starts */
  const lmp_dkey *from = NULL;
  for (lua_Integer n = 1; key_after(L, u, me, from, (uint8_t *)buf[n % 2], &key[n % 2]); n++) {
    from = &key[n % 2];
    if (lua_gettop(L) > 3) lua_replace(L, 3);
    lua_settop(L, 3);
    l_key_push(L, u->st, from->data, from->len);
    lua_rawseti(L, 2, n);
  }
  lua_settop(L, 2);
  return 1;
}

/* -- writing ------------------------------------------------------------------------------------ */

/* Does `op`, with the value at `idx` (nil: none), anew after each signal. */
static void write_value(lua_State *L, l_obj *u, lmp_me *me, lmp_dop *op, int idx) {
  l_value v;
  lmp_err e;
  do {
    op->value = lua_isnil(L, idx) ? NULL : l_value_encode(L, u->st, &v, idx);
    e = lmp_dict_write(me, u->o, op, LMP_FOREVER);
    if (LMP_UNLIKELY(e)) l_value_failed(L, e, type_of(u));
  } while (e);
}

static int d_set(lua_State *L) {
  lmp_me *me;
  d_key key;
  l_obj *u = check(L, &me);
  lua_settop(L, 3);
  key_check(L, 2, u, &key);
  lmp_dop op = {.key = key.k};
  write_value(L, u, me, &op, 3);
  return 0;
}

static lmp_dact if_absent(void *arg, lmp_entry *old, lmp_entry *fresh) {
  (void)arg, (void)fresh;
  return old ? LMP_DICT_KEEP : LMP_DICT_STORE;
}

static int d_add(lua_State *L) {
  lmp_me *me;
  d_key key;
  l_obj *u = check(L, &me);
  lua_settop(L, 3);
  luaL_argcheck(L, !lua_isnil(L, 3), 3, "value expected, got nil");
  key_check(L, 2, u, &key);
  lmp_dop op = {.key = key.k, .decide = if_absent};
  write_value(L, u, me, &op, 3);
  lua_pushboolean(L, op.changed);
  return 1;
}

static int d_pop(lua_State *L) {
  lmp_me *me;
  d_key key;
  lmp_err e;
  lmp_out out = {0};
  l_obj *u = check(L, &me);
  lua_settop(L, 3);
  key_check(L, 2, u, &key);
  lmp_dop op = {.key = key.k, .out = &out};
  while ((e = lmp_dict_write(me, u->o, &op, LMP_FOREVER)) != LMP_OK) {
    l_value_failed(L, e, type_of(u));
  }
  if (out.found) {
    l_value_push(L, u->st, me, &out);
  } else {
    lua_pushvalue(L, 3);
  }
  return 1;
}

static int d_clear(lua_State *L) {
  lmp_me *me;
  bool tried = false;
  lmp_err e;
  l_obj *u = check(L, &me);
  while ((e = lmp_dict_clear(me, u->o, LMP_FOREVER)) != LMP_OK) {
    if (e == LMP_E_NOSLOT && !tried) { /* objects that nobody uses any more may be in the way */
      tried = true;
      lua_gc(L, LUA_GCCOLLECT);
    } else {
      l_value_failed(L, e, type_of(u));
    }
  }
  return 0;
}

/* -- numbers and comparing ------------------------------------------------------------------------ */

static l_number number_at(lua_State *L, int idx) {
  if (lua_isinteger(L, idx)) return (l_number){L_INTEGER, lua_tointeger(L, idx), 0};
  return (l_number){L_FLOAT, 0, lua_tonumber(L, idx)};
}

/* What the decision about an incr knows, and says. */
typedef struct adding {
  l_number n, initial, sum;
  bool bad; /* the value there is no number */
} adding;

static lmp_dact adl_number(void *arg, lmp_entry *old, lmp_entry *fresh) {
  adding *a = arg;
  l_number was = a->initial;
  if (old) was = l_number_read(lmp_entry_value(old), lmp_entry_is_large(old) ? 0 : old->en_vlen);
  a->bad = was.kind == L_NONE;
  if (a->bad) return LMP_DICT_KEEP;
  a->sum = l_number_add(was, a->n);
  fresh->en_vlen = l_number_write(a->sum, lmp_entry_value(fresh));
  return LMP_DICT_STORE;
}

static int d_incr(lua_State *L) {
  lmp_me *me;
  d_key key;
  lmp_err e;
  adding a = {.n = {L_INTEGER, 1, 0}, .initial = {L_INTEGER, 0, 0}};
  l_obj *u = check(L, &me);
  lua_settop(L, 4);
  for (int arg = 3; arg <= 4; arg++) {
    if (lua_isnil(L, arg)) continue;
    luaL_checktype(L, arg, LUA_TNUMBER);
    *(arg == 3 ? &a.n : &a.initial) = number_at(L, arg);
  }
  key_check(L, 2, u, &key);
  lmp_dop op = {.key = key.k, .room = L_NUMBER_MAX, .decide = adl_number, .arg = &a};
  while ((e = lmp_dict_write(me, u->o, &op, LMP_FOREVER)) != LMP_OK) {
    l_value_failed(L, e, type_of(u));
  }
  if (a.bad) {
    return luaL_error(L, "bad argument #1 to 'incr' (the value of the key %s is not a number)",
                      luaL_tolstring(L, 2, NULL));
  }
  if (a.sum.kind == L_INTEGER) {
    lua_pushinteger(L, a.sum.i);
  } else {
    lua_pushnumber(L, a.sum.n);
  }
  return 1;
}

/* What has to be there for a replace. */
typedef struct expected {
  const lmp_msg *msg; /* NULL: nothing */
  l_number number;
} expected;

static bool value_is(const expected *x, const uint8_t *data, size_t len, const lmp_handle *handles,
                     uint32_t nhandles) {
  const lmp_msg *m = x->msg;
  if (x->number.kind != L_NONE) return l_number_equal(x->number, l_number_read(data, len));
  if (m->len != len || m->nhandles != nhandles) return false;
  if (nhandles && memcmp(m->handles, handles, nhandles * sizeof *handles) != 0) return false;
  for (uint32_t i = 0; i < m->niov; i++) {
    if (m->iov[i].len && memcmp(m->iov[i].data, data, m->iov[i].len) != 0) return false;
    data += m->iov[i].len;
  }
  return true;
}

static lmp_dact if_expected(void *arg, lmp_entry *old, lmp_entry *fresh) {
  const expected *x = arg;
  bool so = !old;
  if (x->msg) {
    so = old && !lmp_entry_is_large(old) &&
         value_is(x, lmp_entry_value(old), old->en_vlen, lmp_entry_handle(old),
                  lmp_entry_handles(old));
  }
  if (!so) return LMP_DICT_KEEP;
  return fresh ? LMP_DICT_STORE : LMP_DICT_DELETE;
}

/* A large value is not compared under a lock: the key is held meanwhile. */
static lmp_err replace_large(lmp_me *me, l_obj *u, lmp_dop *op, const expected *x) {
  size_t need;
  lmp_out out = {.cap = x->msg->nhandles * sizeof(lmp_handle)};
  out.buf = malloc(out.cap + 1);
  if (!out.buf) return LMP_E_NOMEM;
  lmp_err e = lmp_dict_hold(me, u->o, &op->key, LMP_FOREVER);
  if (!e) {
    /* One that does not fit has more handles. */
    bool so = lmp_dict_get(me, u->o, &op->key, &out, &need) && out.found &&
              value_is(x, out.data, out.len, out.handles, out.nhandles);
    lmp_out_done(me, &out);
    op->held = so;
    op->decide = NULL;
    if (so) e = lmp_dict_write(me, u->o, op, LMP_FOREVER);
    if (!so || e) lmp_dict_release(me, u->o, &op->key);
  }
  free(out.buf);
  return e;
}

static lmp_err replace_once(lua_State *L, l_obj *u, lmp_me *me, lmp_dop *op) {
  l_codec *c = u->st->codec;
  expected x = {0};
  size_t n;
  if (lua_type(L, 3) == LUA_TNUMBER) x.number = number_at(L, 3);
  l_encode_begin(c);
  if (!lua_isnil(L, 3)) l_encode(L, c, 3, "old", L_HANDLES);
  if (!lua_isnil(L, 4)) l_encode(L, c, 4, "new", L_HANDLES);
  const lmp_msg *m = l_encoded(c, &n);
  if (!lua_isnil(L, 3)) x.msg = m++;
  *op = (lmp_dop){.key = op->key, .decide = if_expected, .arg = &x};
  op->value = lua_isnil(L, 4) ? NULL : m;
  if (x.msg && x.msg->len > LMP_ENTRY_COPY_MAX) return replace_large(me, u, op, &x);
  return lmp_dict_write(me, u->o, op, LMP_FOREVER);
}

static int d_replace(lua_State *L) {
  lmp_me *me;
  d_key key;
  lmp_err e;
  l_obj *u = check(L, &me);
  luaL_checkany(L, 4);
  lua_settop(L, 4);
  key_check(L, 2, u, &key);
  lmp_dop op = {.key = key.k};
  while ((e = replace_once(L, u, me, &op)) != LMP_OK) l_value_failed(L, e, type_of(u));
  lua_pushboolean(L, op.changed);
  return 1;
}

/* -- update ------------------------------------------------------------------------------------- */

typedef struct updating {
  l_obj *u;
  lmp_me *me;
  const lmp_dkey *key;
  bool done;
} updating;

/* Stack: the updating, f, its further arguments. Returns what was stored. */
static int protected_update(lua_State *L) {
  updating *p = lua_touserdata(L, 1);
  int args = lua_gettop(L) - 2;
  if (!push_value(L, p->u, p->me, p->key)) lua_pushnil(L);
  lua_insert(L, 3);
  lua_settop(L, args + 3); /* without a buffer, perhaps */
  lua_call(L, args + 1, 1);
  lmp_dop op = {.key = *p->key, .held = true};
  write_value(L, p->u, p->me, &op, lua_gettop(L));
  p->done = true;
  return 1;
}

static int d_update(lua_State *L) {
  d_key key;
  updating p = {.key = &key.k};
  lmp_err e;
  p.u = check(L, &p.me);
  l_callable(L, 3);
  int top = lua_gettop(L);
  luaL_checkstack(L, top + 8, "too many arguments");
  key_check(L, 2, p.u, &key);
  while ((e = lmp_dict_hold(p.me, p.u->o, &key.k, LMP_FOREVER)) != LMP_OK) {
    l_value_failed(L, e, type_of(p.u));
  }
  /* Until the release nothing raises but inside of the call. */
  lua_pushcfunction(L, protected_update);
  lua_pushlightuserdata(L, &p);
  for (int i = 3; i <= top; i++) lua_pushvalue(L, i);
  int status = lua_pcall(L, top - 1, 1, 0);
  if (!p.done) lmp_dict_release(p.me, p.u->o, &key.k);
  if (status) lua_error(L);
  return 1;
}

/* -- making ------------------------------------------------------------------------------------- */

static int make(lua_State *L, uint32_t kind) {
  static const char *const names[] = {"name", NULL};
  l_state *st = lua_touserdata(L, lua_upvalueindex(1));
  size_t len;
  lmp_handle h;
  l_options(L, 1, names);
  lua_settop(L, 1);
  const char *name = l_opt_name(L, 1, &len);
  lmp_me *me = l_me(L, st);
  l_obj *u = l_prepare(L, st, kind);
  lmp_err e = lmp_dict_new(me, kind, name, len, &h);
  if (e) { /* objects that nobody uses any more may be in the way */
    lua_gc(L, LUA_GCCOLLECT);
    e = lmp_dict_new(me, kind, name, len, &h);
  }
  if (e)
    return l_raise(L, kind == LMP_KIND_DICT ? "cannot make a Dict" : "cannot make a Namespace", e);
  l_open(L, u, h);
  return 1;
}

static int dict_new(lua_State *L) { return make(L, LMP_KIND_DICT); }
static int namespace_new(lua_State *L) { return make(L, LMP_KIND_NAMESPACE); }

static const luaL_Reg dict_meth[] = {
    {"get", d_get},         {"set", d_set}, {"add", d_add},       {"incr", d_incr},
    {"replace", d_replace}, {"pop", d_pop}, {"update", d_update}, {"keys", d_keys},
    {"clear", d_clear},     {NULL, NULL},
};

static const luaL_Reg dict_meta[] = {
    {"__index", d_index}, {"__newindex", d_set}, {"__len", d_len},
    {"__pairs", d_pairs}, {"__gc", l_handle_gc}, {"__tostring", l_handle_tostring},
    {NULL, NULL},
};

static const luaL_Reg namespace_meta[] = {
    {"__index", d_index},
    {"__newindex", d_set},
    {"__pairs", d_pairs},
    {"__gc", l_handle_gc},
    {"__tostring", l_handle_tostring},
    {NULL, NULL},
};

static void push_upvalues(lua_State *L, int st, uint32_t kind, int methods) {
  lua_pushvalue(L, st);
  lua_pushinteger(L, (lua_Integer)kind);
  lua_pushvalue(L, methods);
}

static void metatable(lua_State *L, int st, uint32_t kind, const luaL_Reg *meta) {
  int methods = lua_gettop(L) + 1;
  if (kind == LMP_KIND_DICT) {
    lua_newtable(L);
  } else {
    lua_pushnil(L);
  }
  push_upvalues(L, st, kind, methods);
  lua_pushcclosure(L, d_next, 3);
  if (kind == LMP_KIND_DICT) {
    lua_pushvalue(L, methods);
    push_upvalues(L, st, kind, methods);
    lua_pushvalue(L, methods + 1);
    luaL_setfuncs(L, dict_meth, 4);
    l_name_methods(L, "Dict", dict_meth);
    lua_pop(L, 1);
  }
  lua_newtable(L);
  push_upvalues(L, st, kind, methods);
  lua_pushvalue(L, methods + 1);
  luaL_setfuncs(L, meta, 4);
  lua_pushstring(L, lmp_kinds[kind]->name);
  lua_setfield(L, -2, "__name");
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  lua_getiuservalue(L, st, L_UV_METAS);
  lua_pushvalue(L, -2);
  lua_rawseti(L, -2, (lua_Integer)kind);
  lua_settop(L, methods - 1);
}

void l_dict_funcs(lua_State *L, int st) {
  static const luaL_Reg funcs[] = {{"Dict", dict_new},
                                   {"dict", dict_new},
                                   {"Namespace", namespace_new},
                                   {"namespace", namespace_new},
                                   {NULL, NULL}};
  metatable(L, st, LMP_KIND_DICT, dict_meta);
  metatable(L, st, LMP_KIND_NAMESPACE, namespace_meta);
  lua_pushvalue(L, st);
  luaL_setfuncs(L, funcs, 1);
}

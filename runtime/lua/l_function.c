/* lua/l_function.c: functions as bytecode, their upvalues, and the globals they name.
 * SPDX-License-Identifier: MIT
 *
 * Upvalues are variables, not values: two functions that share one at the sender share one at the
 * receiver. The first function of a message that has the variable carries its value (UPVALUE), the
 * others say which upvalue of which function it is (UPVALUE_SAME).
 * An upvalue that holds the table of globals is bound to the receiver's. So is an _ENV with an __index
 * function, as test frameworks and sandboxes put in front of the globals: what it would answer cannot
 * be known without running it, and by value it would drag its owner along (ENV_VIEW). An _ENV that
 * falls back on the globals by an __index table travels by value, and the names that it does not hold
 * itself come as globals (ENV_OVER). */
#include <string.h>

#include "codec/bytecode.h"
#include "codec/writer.h"
#include "lua/l_message_priv.h"

#define CODE_LENGTH_SIZE 5 /* bytes kept free for the length of bytecode; 32 GiB */

static int dump_writer(lua_State *L, const void *data, size_t n, void *buf) {
  (void)L;
  return !lmp_put_bytes(buf, data, n);
}

/* Appends the bytecode of the function at `idx`. */
static void function_dump(lua_State *L, int idx, lmp_buf *buf) {
  luaL_checkstack(L, 4, NULL);
  lua_pushvalue(L, idx);
  if (lua_dump(L, dump_writer, buf, 0) != 0) l_nomem(L);
  lua_pop(L, 1);
}

l_env l_function_env(lua_State *L, const char *name) {
  int top = lua_gettop(L);
  l_env is = ENV_NONE;
  luaL_checkstack(L, 6, NULL);
  l_push_globals(L);
  lua_pushvalue(L, top);
  for (int hops = 0; hops < 8; hops++) {
    if (lua_rawequal(L, -1, top + 1)) {
      is = hops ? ENV_OVER : ENV_GLOBALS;
      break;
    }
    if (strcmp(name, "_ENV") != 0 || !lua_istable(L, -1)) break;
    int type = luaL_getmetafield(L, -1, "__index");
    if (type == LUA_TFUNCTION) is = ENV_VIEW;
    if (type != LUA_TTABLE) break;
    lua_remove(L, -2);
  }
  lua_settop(L, top);
  return is;
}

/* Fills `env`: which upvalues lead to globals; returns how many upvalues there are. */
static unsigned function_env(lua_State *L, int idx, bool env[256]) {
  unsigned n = 0;
  const char *name;
  while (n < 255 && (name = lua_getupvalue(L, idx, (int)n + 1)) != NULL) {
    env[n++] = l_function_env(L, name) != ENV_NONE;
    lua_pop(L, 1);
  }
  return n;
}

static void function_names(lua_State *L, int idx, const uint8_t *code, size_t len, lmp_buf *names) {
  bool env[256];
  unsigned n = function_env(L, idx, env);
  lmp_err err = lmp_bytecode_globals(code, len, env, n, names); /* nothing of Lua's is held here */
  if (err == LMP_E_NOMEM) l_nomem(L);
  if (err) luaL_error(L, "this Lua's bytecode is not that of Lua 5.4");
}

typedef struct dump {
  luaL_Buffer b;
  bool begun;
} dump;

static int dump_string(lua_State *L, const void *data, size_t n, void *ud) {
  dump *d = ud;
  if (!d->begun) luaL_buffinit(L, &d->b);
  d->begun = true;
  luaL_addlstring(&d->b, data, n);
  return 0;
}

size_t l_function_names(lua_State *L, l_codec *c, int idx) {
  dump d = {.begun = false};
  size_t len;
  luaL_checkstack(L, 12, NULL);
  lua_pushvalue(L, idx);
  if (lua_dump(L, dump_string, &d, 0) != 0 || !d.begun) l_nomem(L);
  luaL_pushresult(&d.b);
  lua_remove(L, -2);
  const char *code = lua_tolstring(L, -1, &len);
  /* One name per instruction at most. From here to the copy nothing runs that could use the scratch. */
  void *copy = lua_newuserdatauv(L, len / 4 * sizeof(lmp_global_name) + 1, 0);
  c->scratch.len = 0;
  function_names(L, lua_absindex(L, idx), (const uint8_t *)code, len, &c->scratch);
  if (c->scratch.len) memcpy(copy, c->scratch.data, c->scratch.len);
  return c->scratch.len / sizeof(lmp_global_name);
}

void l_function_name(lua_State *L, size_t i) {
  const lmp_global_name *name = (const lmp_global_name *)lua_touserdata(L, -1) + i;
  lua_pushlstring(L, lua_tostring(L, -2) + name->off, name->len);
}

/* Notes the globals that the function at `idx` names; its code is in the message at `code`. */
static void enc_names(l_enc *e, int idx, size_t code) {
  lua_State *L = e->L;
  l_set *s = e->s;
  lmp_global_name name;
  s->names.len = 0;
  function_names(L, idx, s->bytes.data + code, s->bytes.len - code, &s->names);
  if (s->names.len == 0) return;
  if (e->nglobals == 0) {
    lua_newtable(L);
    lua_replace(L, e->globals);
  }
  for (size_t i = 0; i < s->names.len; i += sizeof name) {
    memcpy(&name, s->names.data + i, sizeof name);
    lua_pushlstring(L, (const char *)s->bytes.data + code + name.off, name.len);
    lua_pushvalue(L, -1);
    if (lua_rawget(L, e->globals) == LUA_TNIL) {
      lua_pushvalue(L, -2);
      lua_pushboolean(L, true);
      lua_rawset(L, e->globals);
      lua_pushvalue(L, -2);
      lua_rawseti(L, e->globals, ++e->nglobals);
    }
    lua_pop(L, 2);
  }
}

void l_enc_global(l_enc *e) {
  lua_State *L = e->L;
  lmp_buf *b = &e->s->bytes;
  size_t n;
  int top = lua_gettop(L);
  lua_rawgeti(L, e->globals, ++e->globals_done);
  const char *name = lua_tolstring(L, top + 1, &n);
  l_push_globals(L);
  lua_pushvalue(L, top + 1);
  lua_rawget(L, top + 2);
  if (!lua_isnil(L, top + 3) && !l_names_standard(L, e->c, name, top + 3)) {
    l_enc_ok(e, lmp_put_u8(b, LMP_T_GLOBAL) && lmp_put_string(b, name, n));
    l_enc_value(e, top + 3);
  }
  lua_settop(L, top);
}

void l_enc_upvalues(l_enc *e, int idx) {
  lua_State *L = e->L;
  lmp_buf *b = &e->s->bytes;
  unsigned n = 0;
  luaL_checkstack(L, 4, NULL);
  while (n < 255 && lua_upvalueid(L, idx, (int)n + 1)) n++;
  l_enc_ok(e, lmp_put_u8(b, n));
  e->depth++;
  for (unsigned i = 1; i <= n; i++) {
    lmp_id *id = l_enc_id(e, (uintptr_t)lua_upvalueid(L, idx, (int)i), ID_UPVALUE);
    if (id->pos != UINT64_MAX) {
      l_enc_share(e, id->pos);
      l_enc_ok(e, lmp_put_u8(b, LMP_T_UPVALUE_SAME) && lmp_put_varint(b, id->pos) &&
                      lmp_put_u8(b, id->aux));
      continue;
    }
    id->pos = l_enc_pos(e);
    id->aux = i;
    l_enc_ok(e, lmp_put_u8(b, LMP_T_UPVALUE));
    const char *name = lua_getupvalue(L, idx, (int)i);
    if (strcmp(name, "_ENV") == 0 && l_function_env(L, name) == ENV_VIEW) {
      l_enc_ok(e, lmp_put_u8(b, LMP_T_GLOBALS));
    } else {
      l_enc_value(e, lua_gettop(L));
    }
    lua_pop(L, 1);
  }
  e->depth--;
}

static void enc_code(l_enc *e, int idx) {
  lmp_buf *b = &e->s->bytes;
  bool later = e->depth >= LMP_NEST_MAX;
  l_enc_ok(e, lmp_buf_reserve(b, 1 + CODE_LENGTH_SIZE));
  b->data[b->len] = (uint8_t)(LMP_T_FUNCTION | (later ? LMP_FUNCTION_LATER : 0));
  b->len += 1 + CODE_LENGTH_SIZE;
  size_t code = b->len;
  function_dump(e->L, idx, b);
  lmp_set_varint(b->data + code - CODE_LENGTH_SIZE, CODE_LENGTH_SIZE, b->len - code);
  enc_names(e, idx, code);
  if (later)
    l_enc_later(e, idx);
  else
    l_enc_upvalues(e, idx);
}

void l_enc_function(l_enc *e, int idx) {
  lua_State *L = e->L;
  if (e->flags & L_NO_FUNCTIONS) l_enc_fail(e, idx, "a function (none are accepted here)");
  if (l_enc_seen(e, lua_topointer(L, idx)) || l_enc_named(e, idx)) return;
  if (lua_iscfunction(L, idx)) l_enc_fail(e, idx, "a C function that no module holds");
  e->alone = true;
  enc_code(e, idx);
}

/* ---- loading ---- */

typedef struct chunk {
  const char *data;
  size_t len;
} chunk;

static const char *chunk_read(lua_State *L, void *ud, size_t *n) {
  chunk *c = ud;
  (void)L;
  *n = c->len;
  c->len = 0;
  return *n ? c->data : NULL;
}

bool l_function_load(lua_State *L, const char *code, size_t len) {
  chunk c = {code, len};
  int status = lua_load(L, chunk_read, &c, "=message", "b");
  if (status == LUA_ERRMEM) lua_error(L);
  return status == LUA_OK;
}

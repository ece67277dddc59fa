/* lua/l_message.c: the codec of a Lua state, and mp.encode, mp.decode, mp.register.
 * SPDX-License-Identifier: MIT */
#include "lua/l_message.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "lua/l_message_priv.h"

void l_nomem(lua_State *L) {
  luaL_error(L, "not enough memory");
  abort(); /* not reached */
}

bool l_lualib_is(lua_State *L, int idx) {
  if (lua_type(L, idx) != LUA_TTABLE || !lua_getmetatable(L, idx)) return false;
  lua_pushliteral(L, "__luamp");
  bool is = lua_rawget(L, -2) != LUA_TNIL;
  lua_pop(L, 2);
  return is;
}

void l_push_globals(lua_State *L) { lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS); }

/* ---- the codec ---- */

/* The identity of this process image: pointers mean the same in all processes forked from it. Made
 * once, by whoever comes first; a fork keeps it. */
static uint64_t image_id(void) {
  static _Atomic uint64_t image;
  uint64_t id = atomic_load_explicit(&image, memory_order_acquire), mine = 0;
  if (id) return id;
  if (getrandom(&mine, sizeof mine, GRND_NONBLOCK) != (ssize_t)sizeof mine) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    mine = ((uint64_t)now.tv_nsec << 32) ^ (uint64_t)now.tv_sec ^ (uint64_t)getpid() << 16;
  }
  mine |= 1;
  if (atomic_compare_exchange_strong(&image, &id, mine)) return mine;
  return id;
}

static void set_fini(l_set *s) {
  lmp_buf_fini(&s->bytes);
  lmp_buf_fini(&s->names);
  lmp_idmap_fini(&s->ids);
  free(s->pieces);
  free(s->iov);
  free(s->marks);
  free(s->msgs);
  free(s->handles);
}

static int codec_gc(lua_State *L) {
  l_codec *c = lua_touserdata(L, 1);
  set_fini(&c->first);
  for (l_set *s = c->first.next, *next; s; s = next) {
    next = s->next;
    set_fini(s);
    free(s);
  }
  c->first = (l_set){0};
  l_names_fini(c);
  lmp_idmap_fini(&c->types);
  lmp_buf_fini(&c->type_text);
  lmp_buf_fini(&c->scratch);
  luaL_unref(L, LUA_REGISTRYINDEX, c->registry);
  luaL_unref(L, LUA_REGISTRYINDEX, c->loaded);
  c->registry = c->loaded = LUA_NOREF;
  return 0;
}

l_codec *l_codec_new(lua_State *L) {
  l_codec *c = lua_newuserdatauv(L, sizeof *c, 0);
  memset(c, 0, sizeof *c);
  c->registry = c->loaded = LUA_NOREF;
  c->current = &c->first;
  c->image = image_id();
  lua_createtable(L, 0, 3);
  lua_pushcfunction(L, codec_gc);
  lua_setfield(L, -2, "__gc");
  lua_pushstring(L, "luamp.codec");
  lua_setfield(L, -2, "__name");
  lua_pushboolean(L, false);
  lua_setfield(L, -2, "__metatable");
  lua_setmetatable(L, -2);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  c->loaded = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_newtable(L);
  c->registry = luaL_ref(L, LUA_REGISTRYINDEX);
  l_names_init(L, c);
  return c;
}

void l_codec_registry(lua_State *L, l_codec *c) { lua_rawgeti(L, LUA_REGISTRYINDEX, c->registry); }

/* ---- the functions of the module ---- */

static l_codec *codec_of(lua_State *L) { return lua_touserdata(L, lua_upvalueindex(1)); }

/* mp.encode(v) -> string; raises for what cannot be sent, and for objects of luamp. */
static int mp_encode(lua_State *L) {
  l_codec *c = codec_of(L);
  size_t n;
  luaL_checkany(L, 1);
  l_encode_begin(c);
  l_encode(L, c, 1, "message", 0);
  const lmp_msg *m = l_encoded(c, &n);
  l_set *s = c->current;
  if (m->niov == 1) {
    lua_pushlstring(L, m->iov->data, m->len);
    return 1;
  }
  /* The buffer of the result is made by a call that may run finalisers: the set stays at work. */
  luaL_Buffer b;
  s->frame = __builtin_frame_address(0);
  char *to = luaL_buffinitsize(L, &b, m->len);
  for (uint32_t i = 0; i < m->niov; to += m->iov[i++].len) {
    memcpy(to, m->iov[i].data, m->iov[i].len);
  }
  luaL_pushresultsize(&b, m->len);
  c->current = s;
  l_encode_end(c);
  return 1;
}

/* The options of mp.decode at `idx`. */
static unsigned decode_options(lua_State *L, int idx) {
  unsigned flags = 0;
  if (lua_isnoneornil(L, idx)) return 0;
  luaL_checktype(L, idx, LUA_TTABLE);
  lua_pushnil(L);
  while (lua_next(L, idx)) {
    const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?";
    if (strcmp(name, "functions") != 0) {
      luaL_argerror(L, idx, lua_pushfstring(L, "unknown option '%s'", name));
    }
    if (lua_toboolean(L, -1)) flags |= L_FUNCTIONS;
    lua_pop(L, 1);
  }
  return flags;
}

/* mp.decode(s [, {functions = true}]) -> value | nil, "broken", message */
static int mp_decode(lua_State *L) {
  size_t n;
  luaL_checktype(L, 1, LUA_TSTRING);
  const char *s = lua_tolstring(L, 1, &n);
  unsigned flags = decode_options(L, 2);
  lmp_err err = l_decode(L, codec_of(L), s, n, NULL, 0, flags);
  if (err == LMP_OK) return 1;
  luaL_pushfail(L);
  lua_pushstring(L, lmp_err_code(err));
  lua_rotate(L, -3, 2);
  return 3;
}

/* mp.register(name, metatable): both sides then know the metatable by that name. */
static int mp_register(lua_State *L) {
  l_codec *c = codec_of(L);
  size_t n;
  luaL_checktype(L, 1, LUA_TSTRING);
  const char *name = lua_tolstring(L, 1, &n);
  luaL_argcheck(L, n > 0 && n <= UINT16_MAX, 1, "a name of 1 to 65535 bytes expected");
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_settop(L, 2);
  l_codec_registry(L, c);
  lua_pushvalue(L, 1);
  if (lua_rawget(L, 3) != LUA_TNIL) {
    if (lua_rawequal(L, -1, 2)) return 0;
    return luaL_argerror(L, 1, lua_pushfstring(L, "'%s' is the name of another metatable", name));
  }
  /* A second name for one table: both are understood, the first is used for sending. */
  const void *key = lua_topointer(L, 2);
  if (!lmp_buf_reserve(&c->type_text, n)) l_nomem(L);
  lua_pushvalue(L, 1);
  lua_pushvalue(L, 2);
  lua_rawset(L, 3);
  if (lmp_idmap_find(&c->types, (uintptr_t)key, ID_META)) return 0;
  lmp_id *id = lmp_idmap_add(&c->types, (uintptr_t)key, ID_META);
  if (!id) {
    lua_pushvalue(L, 1);
    lua_pushnil(L);
    lua_rawset(L, 3); /* the name is there: no memory is needed to take it away */
    l_nomem(L);
  }
  id->pos = c->type_text.len;
  id->aux = (uint32_t)n;
  memcpy(c->type_text.data + c->type_text.len, name, n);
  c->type_text.len += n;
  return 0;
}

static const luaL_Reg message_funcs[] = {
    {"encode", mp_encode}, {"decode", mp_decode}, {"register", mp_register}, {NULL, NULL}};

void l_message_funcs(lua_State *L, int codec) {
  codec = lua_absindex(L, codec);
  lua_pushvalue(L, codec);
  luaL_setfuncs(L, message_funcs, 1);
}

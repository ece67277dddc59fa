/* lua/l_shared.c: mp.SharedMemory: named blocks, for programs outside the family.
 * SPDX-License-Identifier: MIT
 *
 *   mp.SharedMemory{size = n [, name = s] [, keep = true]} -> shm | nil, "system", message      (makes one)
 *   mp.SharedMemory(name) | mp.SharedMemory{name = s}      -> shm | nil, "system", message      (opens one)
 *   shm.name   shm.size   shm:read([offset [, n]])   shm:write(offset, s)   shm:close()   shm:unlink()
 *   shm:pack(fmt, offset, ...) -> next offset   shm:unpack(fmt [, offset]) -> ..., next offset
 *   shm:array(code [, offset [, n]]) -> Array
 *
 * The block is the system's. Each Lua state that has a handle maps it once; views count as users of the
 * mapping (l_map), so closing the SharedMemory does not pull the memory away from under them. An object of the
 * arena stands for the block, so that handles travel like all others; on arrival it is opened by name. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "channel/shared.h"
#include "lua/l_array.h"
#include "lua/l_handle.h"
#include "os/os.h"

typedef struct l_shared {
  l_obj obj;
  l_map *map; /* NULL: closed, or it could not be opened here */
  uint64_t size;
  char name[LMP_OS_SHM_NAME + 1];
} l_shared;

static l_shared *shared_of(l_obj *u) { return (l_shared *)(void *)u; }

/* -- mappings ------------------------------------------------------------------------------------ */

l_map *l_map_open(const lmp_shm *shm) {
  l_map *map = malloc(sizeof *map);
  lmp_err e = map ? LMP_OK : LMP_E_NOMEM;
  if (!map) errno = ENOMEM;
  if (!e && shm->size == 0) { /* its maker is not that far yet */
    errno = EINVAL;
    e = LMP_E_INVAL;
  }
  if (!e) {
    map->size = shm->size;
    map->refs = 1;
    e = lmp_os_map(shm->fd, shm->size, &map->base);
  }
  int saved = errno;
  lmp_os_close(shm->fd);
  if (e) {
    free(map);
    map = NULL;
  }
  errno = saved;
  return map;
}

void l_map_drop(l_map *map) {
  if (!map || --map->refs > 0) return;
  lmp_os_unmap(map->base, map->size);
  free(map);
}

/* A handle that came from elsewhere: another block may have that name by now. */
static void open_by_name(l_shared *u, const lmp_shared *known) {
  lmp_shm shm;
  if (lmp_os_shm_open(u->name, &shm)) return;
  if (shm.id[0] == known->sm_id[0] && shm.id[1] == known->sm_id[1]) {
    u->map = l_map_open(&shm);
  } else {
    lmp_os_close(shm.fd);
  }
}

static void shared_opened(lua_State *L, l_obj *obj) {
  l_shared *u = shared_of(obj);
  (void)L;
  if (u->map) return;
  size_t len = (size_t)lmp_min_u64(obj->o->ob_namelen, LMP_OS_SHM_NAME);
  memcpy(u->name, lmp_obj_name(&obj->st->f->a, obj->o), len);
  u->size = lmp_shared_of(obj->o)->sm_size;
  open_by_name(u, lmp_shared_of(obj->o));
}

static void shared_ended(l_obj *obj) {
  l_shared *u = shared_of(obj);
  l_map_drop(u->map);
  u->map = NULL;
}

const l_kind l_shared_kind = {
    .size = sizeof(l_shared), .opened = shared_opened, .ended = shared_ended};

l_map *l_shared_map(lua_State *L, lmp_handle h) {
  luaL_checkstack(L, LUA_MINSTACK, NULL);
  l_handle_push(L, h);
  l_map *map = shared_of(l_test(L, -1))->map;
  if (map) map->refs++;
  lua_pop(L, 1);
  return map;
}

/* -- making and opening -------------------------------------------------------------------------- */

/* The name at `idx` without the slash that C programs write before it; `arg` is the argument to blame. */
static const char *check_name(lua_State *L, int idx, int arg) {
  size_t len;
  if (lua_type(L, idx) != LUA_TSTRING) {
    luaL_argerror(L, arg,
                  lua_pushfstring(L, "name: string expected, got %s", luaL_typename(L, idx)));
  }
  const char *name = lua_tolstring(L, idx, &len);
  const char *bare = name + (name[0] == '/');
  if (strlen(name) != len) luaL_argerror(L, arg, "the name contains a zero byte");
  if (bare[0] == 0) luaL_argerror(L, arg, "the name is empty");
  if (strchr(bare, '/')) {
    luaL_argerror(L, arg, lua_pushfstring(L, "the name contains a slash: '%s'", name));
  }
  return bare;
}

static int system_result(lua_State *L, const char *what, const char *name, int error) {
  char text[LMP_OS_SHM_NAME + 256];
  snprintf(text, sizeof text, "%s shared memory '%.*s': %s", what, LMP_OS_SHM_NAME, name,
           strerror(error));
  return l_result(L, false, LMP_E_SYSTEM, text);
}

/* Makes the object for what `u` has mapped; 0, or the results of a failure. */
static lmp_err make_object(lua_State *L, lmp_me *me, l_shared *u, const uint64_t id[2],
                           lmp_handle *h) {
  lmp_err e = lmp_shared_new(me, u->name, strlen(u->name), u->size, id, h);
  if (!e) return e;
  lua_gc(L, LUA_GCCOLLECT);
  return lmp_shared_new(me, u->name, strlen(u->name), u->size, id, h);
}

/* Maps the open block and opens the handle; on a failure nothing of it is left. True, or errno tells. */
static bool take(lua_State *L, lmp_me *me, l_shared *u, const lmp_shm *shm, bool *raised) {
  lmp_handle h;
  *raised = false;
  u->size = shm->size;
  u->map = l_map_open(shm);
  if (!u->map) return false;
  lmp_err e = make_object(L, me, u, shm->id, &h);
  if (e) {
    shared_ended(&u->obj);
    *raised = true;
    return false;
  }
  l_open_quietly(&u->obj, h);
  return true;
}

static int open_named(lua_State *L, l_state *st, const char *name) {
  lmp_shm shm;
  bool no_object;
  lmp_me *me = l_me(L, st);
  l_shared *u = shared_of(l_prepare(L, st, LMP_KIND_SHARED));
  if (strlen(name) > LMP_OS_SHM_NAME) return system_result(L, "open", name, ENAMETOOLONG);
  memcpy(u->name, name, strlen(name));
  if (lmp_os_shm_open(name, &shm)) return system_result(L, "open", name, errno);
  if (!take(L, me, u, &shm, &no_object)) {
    if (no_object) return luaL_error(L, "cannot open a SharedMemory: the family's tables are full");
    return system_result(L, "open", name, errno);
  }
  l_known(L, u->obj.h);
  return 1;
}

/* A name like those that Python makes. */
static void random_name(char *name) {
  uint32_t r;
  lmp_os_random(&r, sizeof r);
  snprintf(name, LMP_OS_SHM_NAME, "psm_%08x", (unsigned)r);
}

static lmp_err create_block(l_shared *u, bool named, uint64_t size, lmp_shm *shm) {
  lmp_err e;
  do {
    if (!named) random_name(u->name);
    e = lmp_os_shm_create(u->name, size, shm);
  } while (e && errno == EEXIST && !named);
  return e;
}

static int create_named(lua_State *L, l_state *st, const char *name, uint64_t size, bool keep) {
  lmp_shm shm;
  bool no_object;
  lmp_me *me = l_me(L, st);
  l_hook_exit(L, st);
  l_shared *u = shared_of(l_prepare(L, st, LMP_KIND_SHARED));
  if (name && strlen(name) > LMP_OS_SHM_NAME) return system_result(L, "create", name, ENAMETOOLONG);
  if (name) memcpy(u->name, name, strlen(name));
  if (create_block(u, name != NULL, size, &shm)) return system_result(L, "create", u->name, errno);
  if (!take(L, me, u, &shm, &no_object)) {
    int saved = errno;
    (void)!lmp_os_shm_unlink(u->name);
    if (no_object) return luaL_error(L, "cannot make a SharedMemory: the family's tables are full");
    return system_result(L, "create", u->name, saved);
  }
  if (!keep && !lmp_named_add(st->f, u->name, shm.id)) {
    (void)!lmp_os_shm_unlink(u->name);
    return luaL_error(L, "not enough memory");
  }
  l_known(L, u->obj.h);
  return 1;
}

static bool flag_field(lua_State *L, const char *key, bool *given) {
  int type = lua_getfield(L, 1, key);
  *given = type != LUA_TNIL;
  if (type != LUA_TNIL && type != LUA_TBOOLEAN) {
    luaL_argerror(L, 1,
                  lua_pushfstring(L, "%s: boolean expected, got %s", key, luaL_typename(L, -1)));
  }
  bool value = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return value;
}

static int shared_new(lua_State *L) {
  static const char *const names[] = {"size", "name", "create", "keep", NULL};
  l_state *st = lua_touserdata(L, lua_upvalueindex(1));
  bool given;
  lua_settop(L, 1);
  if (lua_type(L, 1) == LUA_TSTRING) return open_named(L, st, check_name(L, 1, 1));
  if (!lua_istable(L, 1)) return luaL_typeerror(L, 1, "name or table of options");
  l_options(L, 1, names);
  bool keep = flag_field(L, "keep", &given);
  bool create = flag_field(L, "create", &given);
  bool sized = lua_getfield(L, 1, "size") != LUA_TNIL;
  bool named = lua_getfield(L, 1, "name") != LUA_TNIL;
  const char *name = named ? check_name(L, 3, 1) : NULL;
  if (!given) create = sized; /* whoever gives a size wants one made */
  if (!create) {
    if (!name)
      return luaL_argerror(L, 1, "a name (to open one) or a size (to create one) is needed");
    return open_named(L, st, name);
  }
  if (!sized) luaL_argerror(L, 1, "size is needed to create one");
  uint64_t size = l_size(L, 2, "SharedMemory: size");
  if (size == 0) luaL_argerror(L, 1, "size must be at least 1");
  return create_named(L, st, name, size, keep);
}

/* -- methods ------------------------------------------------------------------------------------- */

static l_shared *self(lua_State *L) {
  lmp_me *me;
  l_shared *u = shared_of(l_check(L, 1, LMP_KIND_SHARED, &me));
  if (!u->map) luaL_error(L, "the SharedMemory '%s' is gone: it could not be opened here", u->name);
  return u;
}

/* The same, closed or not. */
static l_shared *self_any(lua_State *L) {
  l_obj *u = l_test(L, 1);
  if (!u || u->kind != LMP_KIND_SHARED) {
    luaL_typeerror(L, 1, "SharedMemory");
    return NULL; /* not reached */
  }
  return shared_of(u);
}

/* The offset at `arg`, within the block. */
static uint64_t offset_at(lua_State *L, int arg, const l_shared *u) {
  lua_Integer off = luaL_optinteger(L, arg, 0);
  if (off < 0 || (uint64_t)off > u->map->size) {
    luaL_argerror(L, arg,
                  lua_pushfstring(L, "offset %I is outside the block of %I bytes", off,
                                  (lua_Integer)u->map->size));
  }
  return (uint64_t)off;
}

static void check_room(lua_State *L, int arg, const l_shared *u, uint64_t off, uint64_t n) {
  if (n <= u->map->size - off) return;
  luaL_argerror(L, arg,
                lua_pushfstring(L, "%I bytes at offset %I are outside the block of %I bytes",
                                (lua_Integer)n, (lua_Integer)off, (lua_Integer)u->map->size));
}

static char *byte_at(const l_shared *u, uint64_t off) { return (char *)u->map->base + off; }

static int sm_read(lua_State *L) {
  const l_shared *u = self(L);
  uint64_t off = offset_at(L, 2, u);
  lua_Integer n = luaL_optinteger(L, 3, (lua_Integer)(u->map->size - off));
  if (n < 0) luaL_argerror(L, 3, lua_pushfstring(L, "negative size %I", n));
  check_room(L, 3, u, off, (uint64_t)n);
  lua_pushlstring(L, byte_at(u, off), (size_t)n);
  return 1;
}

static int sm_write(lua_State *L) {
  const l_shared *u = self(L);
  size_t len;
  luaL_checkinteger(L, 2);
  uint64_t off = offset_at(L, 2, u);
  luaL_checktype(L, 3, LUA_TSTRING);
  const char *s = lua_tolstring(L, 3, &len);
  check_room(L, 3, u, off, len);
  memcpy(byte_at(u, off), s, len);
  return 0;
}

/* Pushes a function of Lua's string library. */
static void string_function(lua_State *L, const char *name) {
  lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  if (lua_getfield(L, -1, "string") != LUA_TTABLE || lua_getfield(L, -1, name) != LUA_TFUNCTION) {
    luaL_error(L, "the string library is not open in this Lua state");
  }
  lua_replace(L, -3);
  lua_pop(L, 1);
}

static int sm_pack(lua_State *L) {
  const l_shared *u = self(L);
  size_t len;
  luaL_checktype(L, 2, LUA_TSTRING);
  luaL_checkinteger(L, 3);
  uint64_t off = offset_at(L, 3, u);
  int n = lua_gettop(L) - 3;
  string_function(L, "pack");
  lua_insert(L, 4);
  lua_pushvalue(L, 2);
  lua_insert(L, 5);
  lua_call(L, n + 1, 1);
  const char *s = lua_tolstring(L, -1, &len);
  u = self(L); /* who knows what the values' metamethods did */
  check_room(L, 3, u, off, len);
  memcpy(byte_at(u, off), s, len);
  lua_pushinteger(L, (lua_Integer)off + (lua_Integer)len);
  return 1;
}

/* The bytes that the format at 2 takes from `off` on: exactly, where it has a fixed size. */
static uint64_t unpack_size(lua_State *L, const l_shared *u, uint64_t off, bool *fixed) {
  string_function(L, "packsize");
  lua_pushvalue(L, 2);
  *fixed = lua_pcall(L, 1, 1, 0) == LUA_OK;
  uint64_t n = *fixed ? (uint64_t)lua_tointeger(L, -1) : lmp_min_u64(1024, u->map->size - off);
  lua_pop(L, 1);
  return n;
}

/* A format with strings in it tells its size only when it is unpacked: it is tried on the first bytes, and
 * on more when they are too few. */
static int sm_unpack(lua_State *L) {
  const l_shared *u = self(L);
  bool fixed;
  luaL_checktype(L, 2, LUA_TSTRING);
  uint64_t off = offset_at(L, 3, u);
  lua_settop(L, 3);
  uint64_t n = unpack_size(L, u, off, &fixed);
  check_room(L, 3, u, off, n);
  for (;;) {
    uint64_t rest = u->map->size - off;
    string_function(L, "unpack");
    lua_pushvalue(L, 2);
    lua_pushlstring(L, byte_at(u, off), n);
    if (lua_pcall(L, 2, LUA_MULTRET, 0) == LUA_OK) break;
    if (fixed || n == rest) return lua_error(L);
    n = n > rest / 8 ? rest : n * 8;
    lua_settop(L, 3);
  }
  lua_pushinteger(L, (lua_Integer)off + lua_tointeger(L, -1) - 1);
  lua_replace(L, -2);
  return lua_gettop(L) - 3;
}

static int sm_array(lua_State *L) {
  l_shared *u = self(L);
  lmp_me *me = l_me(L, u->obj.st);
  lmp_handle h;
  lmp_elem t = l_elem_code(L, 2);
  unsigned shift = lmp_elem_shift(t);
  uint64_t off = offset_at(L, 3, u);
  lua_Integer n = luaL_optinteger(L, 4, (lua_Integer)((u->map->size - off) >> shift));
  if (off & ((1u << shift) - 1)) {
    luaL_argerror(L, 3,
                  lua_pushfstring(L, "offset %I is no multiple of the element's size, %d",
                                  (lua_Integer)off, 1 << shift));
  }
  if (n < 0) luaL_argerror(L, 4, lua_pushfstring(L, "length must not be negative, got %I", n));
  if ((uint64_t)n > (u->map->size - off) >> shift) {
    luaL_argerror(L, 4,
                  lua_pushfstring(L, "%I elements at offset %I are outside the block of %I bytes",
                                  n, (lua_Integer)off, (lua_Integer)u->map->size));
  }
  l_array *view = (l_array *)(void *)l_prepare(L, u->obj.st, LMP_KIND_ARRAY);
  lmp_err e = lmp_array_view(me, t, (uint64_t)n, u->obj.h, off, &h);
  if (e) {
    lua_gc(L, LUA_GCCOLLECT);
    e = lmp_array_view(me, t, (uint64_t)n, u->obj.h, off, &h);
  }
  if (e) return l_raise(L, "cannot make an Array", e);
  view->map = u->map;
  u->map->refs++;
  l_open(L, &view->obj, h);
  return 1;
}

static int sm_close(lua_State *L) {
  self_any(L);
  return l_handle_gc(L);
}

/* Also of one that is closed, as in Python. */
static int sm_unlink(lua_State *L) {
  const l_shared *u = self_any(L);
  if (lmp_os_shm_unlink(u->name)) return system_result(L, "unlink", u->name, errno);
  if (u->obj.st->f && !lmp_family_forked(u->obj.st->f)) lmp_named_drop(u->obj.st->f, u->name);
  lua_pushboolean(L, 1);
  return 1;
}

static int sm_index(lua_State *L) {
  const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
  if (strcmp(key, "name") == 0) {
    lua_pushstring(L, self_any(L)->name);
  } else if (strcmp(key, "size") == 0) {
    lua_pushinteger(L, (lua_Integer)self_any(L)->size);
  } else {
    lua_settop(L, 2);
    lua_rawget(L, lua_upvalueindex(2));
  }
  return 1;
}

static int sm_newindex(lua_State *L) {
  return luaL_error(L, "a SharedMemory has no field '%s' to assign", luaL_tolstring(L, 2, NULL));
}

/* -- opening ------------------------------------------------------------------------------------- */

static const luaL_Reg shared_meth[] = {
    {"read", sm_read},   {"write", sm_write}, {"pack", sm_pack},     {"unpack", sm_unpack},
    {"array", sm_array}, {"close", sm_close}, {"unlink", sm_unlink}, {NULL, NULL},
};

static const luaL_Reg shared_meta[] = {
    {"__gc", l_handle_gc},
    {"__close", l_handle_gc},
    {"__tostring", l_handle_tostring},
    {"__newindex", sm_newindex},
    {NULL, NULL},
};

void l_shared_funcs(lua_State *L, int st) {
  l_metatable(L, st, LMP_KIND_SHARED, "SharedMemory", shared_meth, shared_meta);
  l_index_function(L, st, LMP_KIND_SHARED, sm_index);
  l_constructor(L, st, shared_new, (const char *[]){"SharedMemory", "shared_memory", NULL});
}

/* lua/l_handle.c: handle userdata.
 * SPDX-License-Identifier: MIT
 *
 * A handle userdata owns one reference of its process to the object, while it is open and its epoch is
 * the family's. After a fork all handles are of an old epoch: those that the child reaches are rebound
 * at its start, the others take hold again when they are used, or find that their object is gone.
 * There is one handle value for an object in a Lua state, so equal handles are the same value. */
#include "lua/l_handle.h"

#include <string.h>

#include "lua/l_state.h"

l_obj *l_test(lua_State *L, int idx) {
  if (lua_type(L, idx) != LUA_TUSERDATA || lua_rawlen(L, idx) < sizeof(l_obj)) return NULL;
  l_obj *u = lua_touserdata(L, idx);
  return u->magic == L_HANDLE_MAGIC ? u : NULL;
}

static bool handle_current(const l_obj *u) {
  return u->open && u->st->f && !lmp_family_forked(u->st->f) && u->epoch == u->st->f->epoch;
}

static const char *kind_name(const l_obj *u) {
  const lmp_kind *k = u->st->f ? u->st->f->a.kinds[u->kind] : NULL;
  return k ? k->name : "object";
}

/* The slow half of l_check: a handle that was inherited takes hold of its object. */
static LMP_NOINLINE void handle_renew(lua_State *L, int arg, l_obj *u, lmp_me *me) {
  const char *why = NULL;
  if (!u->open) {
    why = "closed";
  } else if (lmp_obj_hold(me, u->h)) {
    why = "gone: nobody held it any more";
  }
  if (why) {
    why = lua_pushfstring(L, "the %s is %s", kind_name(u), why);
    if (arg > 0) luaL_argerror(L, arg, why);
    luaL_error(L, "%s", why); /* an upvalue */
  }
  u->epoch = u->st->f->epoch;
}

l_obj *l_check(lua_State *L, int arg, uint32_t kind, lmp_me **me) {
  l_obj *u = lua_touserdata(L, arg);
  if (LMP_UNLIKELY(!u || lua_type(L, arg) != LUA_TUSERDATA || lua_rawlen(L, arg) < sizeof *u ||
                   u->magic != L_HANDLE_MAGIC || u->kind != kind)) {
    luaL_typeerror(L, arg, lmp_kinds[kind]->name);
  }
  *me = l_me(L, u->st);
  if (LMP_UNLIKELY(u->epoch != u->st->f->epoch || !u->open)) handle_renew(L, arg, u, *me);
  return u;
}

/* What an object takes of the shared memory, in KiB, at least: Lua's collector is told, or it would
 * let a great many dropped handles pile up, which look so small to it. (A Process is an instance with
 * fields besides, and looks large enough.) */
#define HANDLE_COST 1

static const l_kind *kind_of(uint32_t kind) {
  static const l_kind plain = {.size = sizeof(l_obj)};
  static const l_kind barrier = {.size = sizeof(l_obj), .values = 1}; /* its action */
  static const l_kind *const kinds[LMP_KIND_COUNT] = {
      [LMP_KIND_VALUE] = &l_array_kind,     [LMP_KIND_ARRAY] = &l_array_kind,
      [LMP_KIND_SHARED] = &l_shared_kind,   [LMP_KIND_BARRIER] = &barrier,
      [LMP_KIND_CONNECTION] = &l_conn_kind,
  };
  return kinds[kind] ? kinds[kind] : &plain;
}

l_obj *l_prepare(lua_State *L, l_state *st, uint32_t kind) {
  if (kind != LMP_KIND_PROCESS) lua_gc(L, LUA_GCSTEP, HANDLE_COST);
  const l_kind *k = kind_of(kind);
  l_obj *u = lua_newuserdatauv(L, k->size, k->values);
  memset(u, 0, k->size);
  *u = (l_obj){.magic = L_HANDLE_MAGIC, .st = st, .kind = kind};
  l_state_uv(L, L_UV_METAS);
  lua_rawgeti(L, -1, (lua_Integer)kind);
  lua_setmetatable(L, -3);
  lua_pop(L, 1);
  return u;
}

void l_known(lua_State *L, lmp_handle h) {
  l_state_uv(L, L_UV_HANDLES);
  lua_pushvalue(L, -2);
  lua_rawseti(L, -2, h.obj);
  lua_pop(L, 1);
}

void l_open_quietly(l_obj *u, lmp_handle h) {
  u->h = h;
  u->o = lmp_obj_at(&u->st->f->a, h.obj);
  u->epoch = u->st->f->epoch;
  u->open = true;
  u->st->nhandles++;
}

void l_open(lua_State *L, l_obj *u, lmp_handle h) {
  const l_kind *kind = kind_of(u->kind);
  l_open_quietly(u, h);
  if (kind->opened) kind->opened(L, u);
  l_known(L, h);
}

/* The handle userdata of a value: itself, or the one that a Process instance wraps. NULL: neither. */
static l_obj *handle_of(lua_State *L, int idx) {
  if (lua_type(L, idx) != LUA_TTABLE) return l_test(L, idx);
  l_obj *u = NULL;
  if (!lua_getmetatable(L, idx)) return NULL;
  if (lua_getfield(L, -1, "__luamp_class") != LUA_TNIL) {
    lua_pushvalue(L, idx < 0 && idx > LUA_REGISTRYINDEX ? idx - 2 : idx);
    lua_rawgetp(L, -1, &l_keys[L_KEY_HANDLE]);
    u = l_test(L, -1);
    lua_pop(L, 2);
  }
  lua_pop(L, 2);
  return u;
}

bool l_handle_is(lua_State *L, int idx, lmp_handle *h) {
  bool instance = false;
  if (lua_type(L, idx) == LUA_TTABLE && lua_getmetatable(L, idx)) {
    lua_pushliteral(L, "__luamp_class");
    instance = lua_rawget(L, -2) != LUA_TNIL;
    lua_pop(L, 2);
  }
  l_obj *u = instance || lua_type(L, idx) == LUA_TUSERDATA ? handle_of(L, idx) : NULL;
  *h = (lmp_handle){0, 0};
  if (!u) return instance;
  if (handle_current(u)) {
    *h = u->h;
  } else if (u->open && u->st->f && !lmp_family_forked(u->st->f) &&
             lmp_obj_get(&u->st->f->a, u->h)) {
    lmp_me *me;
    if (lmp_family_me(u->st->f, &me) == LMP_OK && lmp_obj_hold(me, u->h) == LMP_OK) {
      u->epoch = u->st->f->epoch;
      *h = u->h;
    }
  }
  return true;
}

/* Pushes the known value for h; false, and nothing pushed, when there is none. */
static bool handle_find(lua_State *L, lmp_handle h) {
  lmp_handle known;
  l_state_uv(L, L_UV_HANDLES);
  lua_rawgeti(L, -1, h.obj);
  lua_remove(L, -2);
  if (!lua_isnil(L, -1) && l_handle_is(L, -1, &known) && known.obj == h.obj && known.gen == h.gen) {
    return true;
  }
  lua_pop(L, 1);
  return false;
}

/* Turns the userdata of a process at the top into its instance. */
static void handle_wrap(lua_State *L, l_obj *u) {
  if (u->kind != LMP_KIND_PROCESS) return;
  l_state_uv(L, L_UV_WRAP);
  lua_insert(L, -2);
  lua_call(L, 1, 1);
  l_known(L, u->h);
}

void l_handle_push(lua_State *L, lmp_handle h) {
  l_state *st = l_state_get(L);
  if (handle_find(L, h)) return;
  lmp_me *me = l_me(L, st);
  uint32_t kind = lmp_obj_at(me->a, h.obj)->ob_kind;
  l_obj *u = l_prepare(L, st, kind);
  lmp_obj_ref(me, h);
  l_open(L, u, h);
  handle_wrap(L, u);
}

void l_adopt(lua_State *L, l_state *st, lmp_handle h) {
  l_obj *u = l_prepare(L, st, lmp_obj_at(&st->f->a, h.obj)->ob_kind);
  l_open(L, u, h);
  handle_wrap(L, u);
}

void l_rebind(lua_State *L, int idx) {
  lmp_me *me;
  l_obj *u = handle_of(L, idx);
  if (!u || !u->open || u->epoch == u->st->f->epoch) return;
  if (lmp_family_me(u->st->f, &me)) return;
  lmp_obj_ref(me, u->h);
  u->epoch = u->st->f->epoch;
}

/* The one end of a handle: __gc, __close and close. Takes any state, raises nothing. */
static void handle_end(l_obj *u) {
  const l_kind *kind = kind_of(u->kind);
  lmp_me *me;
  if (!u->open) return;
  bool current = handle_current(u);
  u->open = false;
  if (kind->ended) kind->ended(u);
  if (u->st->nhandles) u->st->nhandles--;
  if (current && lmp_family_me(u->st->f, &me) == LMP_OK) lmp_obj_unref(me, u->h);
}

int l_handle_gc(lua_State *L) {
  l_obj *u = l_test(L, 1);
  if (u) handle_end(u);
  return 0;
}

int l_handle_tostring(lua_State *L) {
  l_obj *u = l_test(L, 1);
  if (!u) return luaL_error(L, "not a handle");
  luaL_getmetafield(L, 1, "__name");
  const char *kind = lua_tostring(L, -1);
  const lmp_obj *o = handle_current(u) ? lmp_obj_get(&u->st->f->a, u->h) : NULL;
  if (!u->open) {
    lua_pushfstring(L, "%s: %p (closed)", kind, (void *)u);
  } else if (o && o->ob_namelen) {
    lua_pushfstring(L, "%s: %p (", kind, (void *)u);
    lua_pushlstring(L, lmp_obj_name(&u->st->f->a, o), o->ob_namelen); /* zero bytes, too */
    lua_pushliteral(L, ")");
    lua_concat(L, 3);
  } else {
    lua_pushfstring(L, "%s: %p", kind, (void *)u);
  }
  return 1;
}

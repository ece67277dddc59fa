/* lua/l_encode.c: Lua value -> message bytes.
 * SPDX-License-Identifier: MIT
 *
 * Design
 * Bytes are appended to a buffer of the codec that is kept between calls. Values are walked with raw
 * accesses only: no metamethod runs. What Lua itself may run is a finaliser, in a collection step of
 * the few calls below that make Lua objects; if it encodes too, l_encode_begin sees that a frame below
 * it in the C stack is at work on a set of buffers and takes the next set.
 * I1  Nothing is owned but memory of the codec, so an error may leave this file at any call: the set
 *     is then given up by the next l_encode_begin.
 * I2  Nesting is walked by recursion down to LMP_NEST_MAX; what lies deeper waits in the table
 *     `later` and is written as a body of its own.
 * I3  A message whose only table is the value itself needs no identities: the first table is entered
 *     into the map when the second object comes (`lone`). */
#include <stdlib.h>

#include "codec/writer.h"
#include "lua/l_handle.h"
#include "lua/l_message_priv.h"

#define KEEP_MAX ((size_t)1 << 20) /* a buffer that is larger is not kept for the next call */

/* ---- sets of buffers ---- */

static void set_shrink(l_set *s) {
  if (s->bytes.cap > KEEP_MAX) lmp_buf_fini(&s->bytes);
  if (s->names.cap > KEEP_MAX) lmp_buf_fini(&s->names);
  if (s->ids.ids && s->ids.mask > KEEP_MAX / sizeof(lmp_id)) lmp_idmap_fini(&s->ids);
  if (s->cappieces > KEEP_MAX / sizeof(l_piece)) {
    free(s->pieces);
    free(s->iov);
    s->pieces = NULL;
    s->iov = NULL;
    s->cappieces = 0;
  }
  if (s->capmsgs > KEEP_MAX / sizeof(lmp_msg)) {
    free(s->marks);
    free(s->msgs);
    s->marks = NULL;
    s->msgs = NULL;
    s->capmsgs = 0;
  }
  if (s->caphandles > KEEP_MAX / sizeof(lmp_handle)) {
    free(s->handles);
    s->handles = NULL;
    s->caphandles = 0;
  }
}

static void set_empty(l_set *s) {
  s->bytes.len = 0;
  s->npieces = s->nmsgs = s->nhandles = 0;
  s->frame = NULL;
  set_shrink(s);
}

void l_encode_begin(l_codec *c) {
  const char *here = __builtin_frame_address(0);
  l_set *s = &c->first;
  /* A set is at work when its l_encode is further up this stack; an error may have left others. */
  c->current = NULL;
  while (s->frame > here) {
    if (!s->next) s->next = calloc(1, sizeof *s->next);
    if (!s->next) return;
    s = s->next;
  }
  set_empty(s);
  c->current = s;
}

void l_encode_end(l_codec *c) {
  if (c->current) set_empty(c->current);
}

/* Makes two arrays that grow together hold one more element each. */
static bool pair_grow(void **a, size_t size_a, void **b, size_t size_b, uint32_t *cap) {
  uint32_t want = *cap ? *cap * 2 : 8;
  if (want < *cap) return false;
  void *p = realloc(*a, want * size_a);
  if (!p) return false;
  *a = p;
  p = realloc(*b, want * size_b);
  if (!p) return false;
  *b = p;
  *cap = want;
  return true;
}

static bool piece_add(l_set *s, const void *data, size_t len) {
  if (s->npieces == s->cappieces) {
    void *a = s->pieces, *b = s->iov;
    bool ok = pair_grow(&a, sizeof(l_piece), &b, sizeof(lmp_iov), &s->cappieces);
    s->pieces = a;
    s->iov = b;
    if (!ok) return false;
  }
  s->pieces[s->npieces++] = (l_piece){data, len};
  return true;
}

static bool mark_add(l_set *s, l_mark mark) {
  if (s->nmsgs == s->capmsgs) {
    void *a = s->marks, *b = s->msgs;
    bool ok = pair_grow(&a, sizeof(l_mark), &b, sizeof(lmp_msg), &s->capmsgs);
    s->marks = a;
    s->msgs = b;
    if (!ok) return false;
  }
  s->marks[s->nmsgs++] = mark;
  return true;
}

const lmp_msg *l_encoded(l_codec *c, size_t *count) {
  l_set *s = c->current;
  const uint8_t *own;
  *count = s ? s->nmsgs : 0;
  if (!*count) return NULL;
  own = s->bytes.data;
  for (uint32_t i = 0; i < s->npieces; i++) {
    const l_piece *p = &s->pieces[i];
    s->iov[i] = (lmp_iov){p->data ? p->data : own, p->len};
    if (!p->data) own += p->len;
  }
  for (uint32_t i = 0; i < s->nmsgs; i++) {
    const l_mark *m = &s->marks[i];
    s->msgs[i] = (lmp_msg){.iov = s->iov + m->piece,
                           .niov = m->npieces,
                           .nhandles = m->nhandles,
                           .handles = m->nhandles ? s->handles + m->handle : NULL,
                           .len = m->len,
                           .alone = m->alone};
  }
  return s->msgs;
}

/* ---- failing ---- */

void l_enc_fail(l_enc *e, int idx, const char *what) {
  lua_State *L = e->L;
  l_set *s = e->s;
  /* The search for the path may run finalisers; the set is theirs from here on. */
  s->bytes.len = e->start;
  s->npieces = e->piece;
  s->nhandles = e->handle;
  s->frame = NULL;
  e->c->current = s;
  luaL_checkstack(L, 8, NULL);
  lua_pushvalue(L, idx);
  l_path(L, e->c, e->root, e->idx, lua_gettop(L));
  luaL_error(L, "cannot send %s at %s", what, lua_tostring(L, -1));
  abort(); /* not reached */
}

/* ---- identities ---- */

lmp_id *l_enc_id(l_enc *e, uint64_t key, unsigned kind) {
  lmp_id *id = lmp_idmap_add(&e->s->ids, key, kind);
  if (!id) l_nomem(e->L);
  return id;
}

bool l_enc_seen(l_enc *e, const void *key) {
  lmp_buf *b = &e->s->bytes;
  if (e->lone) {
    lmp_id *first = l_enc_id(e, (uintptr_t)e->lone, ID_OBJECT);
    first->pos = e->lone_pos;
    e->lone = NULL;
  }
  lmp_id *id = l_enc_id(e, (uintptr_t)key, ID_OBJECT);
  if (id->pos == UINT64_MAX) {
    id->pos = l_enc_pos(e);
    return false;
  }
  l_enc_share(e, id->pos);
  l_enc_ok(e, lmp_put_u8(b, LMP_T_REF) && lmp_put_varint(b, id->pos));
  return true;
}

void l_enc_later(l_enc *e, int idx) {
  lua_State *L = e->L;
  if (e->nlater == 0) {
    lua_newtable(L);
    lua_replace(L, e->later);
  }
  lua_pushvalue(L, idx);
  lua_rawseti(L, e->later, ++e->nlater);
}

/* ---- strings, handles, names ---- */

/* A long string: only its length goes into the buffer, its bytes become a piece of the message. */
static void enc_blob(l_enc *e, const char *str, size_t len) {
  l_set *s = e->s;
  if (l_enc_seen(e, str)) return;
  l_enc_ok(e, lmp_put_blob(&s->bytes, len) && piece_add(s, NULL, s->bytes.len - e->piece_start) &&
                  piece_add(s, str, len));
  e->piece_start = s->bytes.len;
  e->borrowed += len;
}

static void enc_string(l_enc *e, int idx) {
  size_t n;
  const char *str = lua_tolstring(e->L, idx, &n);
  if (LMP_UNLIKELY(n >= LMP_BLOB_MIN))
    enc_blob(e, str, n);
  else
    l_enc_ok(e, lmp_put_string(&e->s->bytes, str, n));
}

static bool handle_add(l_set *s, lmp_handle h) {
  if (s->nhandles == s->caphandles) {
    uint32_t want = s->caphandles ? s->caphandles * 2 : 8;
    void *p = want > s->caphandles ? realloc(s->handles, want * sizeof h) : NULL;
    if (!p) return false;
    s->handles = p;
    s->caphandles = want;
  }
  s->handles[s->nhandles++] = h;
  return true;
}

const char l_keys[L_KEY_COUNT];

/* An instance of a class of processes that has no handle yet. */
static bool is_unstarted(lua_State *L, int idx) {
  if (lua_type(L, idx) != LUA_TTABLE) return false;
  lua_rawgetp(L, idx, &l_keys[L_KEY_STATE]);
  lua_pushliteral(L, "new");
  bool same = lua_rawequal(L, -1, -2);
  lua_pop(L, 2);
  return same;
}

/* Raises for the object of luamp at `idx`: "a closed Queue", "a Queue outside the family", "a Pool, which
 * belongs to its process". */
static void enc_handle_fail(l_enc *e, int idx, bool closed) {
  lua_State *L = e->L;
  const char *name = "luamp object";
  luaL_checkstack(L, 4, NULL);
  if (luaL_getmetafield(L, idx, "__name") == LUA_TSTRING) name = lua_tostring(L, -1);
  if (l_lualib_is(L, idx))
    lua_pushfstring(L, "a %s, which belongs to its process", name);
  else if (closed && is_unstarted(L, idx))
    lua_pushfstring(L, "a %s that was not started", name);
  else if (closed)
    lua_pushfstring(L, "a closed %s", name);
  else
    lua_pushfstring(L, "a %s outside the family", name);
  l_enc_fail(e, idx, lua_tostring(L, -1));
}

/* Writes the object of luamp at `idx`, if it is one. */
static bool enc_handle(l_enc *e, int idx) {
  lmp_handle h;
  l_set *s = e->s;
  if (!l_handle_is(e->L, idx, &h)) return false;
  if (!(e->flags & L_HANDLES)) enc_handle_fail(e, idx, false);
  if (h.obj == 0 && h.gen == 0) enc_handle_fail(e, idx, true);
  lmp_id *id = l_enc_id(e, (uint64_t)h.obj << 32 | h.gen, ID_HANDLE);
  if (id->pos == UINT64_MAX) {
    id->pos = s->nhandles - e->handle;
    l_enc_ok(e, handle_add(s, h));
  }
  l_enc_ok(e, lmp_put_u8(&s->bytes, LMP_T_HANDLE) && lmp_put_varint(&s->bytes, id->pos));
  return true;
}

static bool put_name(l_enc *e, const l_name *n) {
  e->alone = true;
  const l_codec *c = e->c;
  const l_name *way[L_PATH_MAX + 1];
  lmp_buf *b = &e->s->bytes;
  unsigned count = 0;
  if (n->base) {
    return lmp_put_u8(b, LMP_T_NAME) && lmp_put_string(b, "_G", 2) && lmp_put_u8(b, 1) &&
           lmp_put_string(b, l_names_text(c, n), n->len);
  }
  for (; n->depth > 0; n = &c->names.entries[n->parent]) way[count++] = n;
  if (!lmp_put_u8(b, LMP_T_NAME) || !lmp_put_string(b, l_names_text(c, n), n->len)) return false;
  if (!lmp_put_u8(b, count)) return false;
  while (count-- > 0) {
    if (!lmp_put_string(b, l_names_text(c, way[count]), way[count]->len)) return false;
  }
  return true;
}

bool l_enc_named(l_enc *e, int idx) {
  const l_name *n = l_names_find(e->L, e->c, idx);
  if (LMP_LIKELY(!n)) return false;
  l_enc_ok(e, put_name(e, n));
  return true;
}

/* A metatable of mp.register, by its name. */
static bool enc_type(l_enc *e, const void *key) {
  l_codec *c = e->c;
  lmp_buf *b = &e->s->bytes;
  lmp_id *id = lmp_idmap_find(&c->types, (uintptr_t)key, ID_META);
  if (LMP_LIKELY(!id)) return false;
  e->alone = true;
  l_enc_ok(e, lmp_put_u8(b, LMP_T_TYPE) &&
                  lmp_put_string(b, (const char *)c->type_text.data + id->pos, id->aux));
  return true;
}

/* ---- tables ---- */

static bool has_field(lua_State *L, int idx, const char *name) {
  lua_pushstring(L, name);
  bool is = lua_rawget(L, idx) != LUA_TNIL;
  lua_pop(L, 1);
  return is;
}

/* Refuses the metatable at the top if it may travel by value only, yet must not. */
static void enc_check_meta(l_enc *e, int table) {
  lua_State *L = e->L;
  int mt = lua_gettop(L);
  lmp_id *id = l_enc_id(e, (uintptr_t)lua_topointer(L, mt), ID_META);
  if (id->pos == 0) return;
  id->pos = 0;
  lua_pushliteral(L, "__luamp");
  if (lua_rawget(L, mt) == LUA_TBOOLEAN && lua_toboolean(L, -1)) enc_handle_fail(e, table, false);
  lua_pop(L, 1);
  if (!has_field(L, mt, "__gc") && !has_field(L, mt, "__close")) return;
  if (lmp_idmap_find(&e->c->types, (uintptr_t)lua_topointer(L, mt), ID_META)) return;
  if (l_names_find(L, e->c, mt)) return;
  l_enc_fail(e, table,
             "a table whose metatable has __gc or __close "
             "(register the metatable with mp.register)");
}

/* The elements 1, 2, ... as far as lua_next delivers them in order; holes in an array are nils. The
 * first other key is left on the stack with its value: true. Elements that come out of order travel as
 * pairs. `credit` bounds the nils, for #t may be far above the number of elements. */
static bool enc_elements(l_enc *e, int idx, lua_Integer len, lua_Integer *count) {
  lua_State *L = e->L;
  lmp_buf *b = &e->s->bytes;
  lua_Integer n = 0, credit = 16;
  lua_pushnil(L);
  while (lua_next(L, idx)) {
    lua_Integer k = lua_isinteger(L, -2) ? lua_tointeger(L, -2) : 0;
    if (k <= n || k > len || k - n - 1 > credit) {
      *count = n;
      return true;
    }
    for (credit -= k - n - 2; n < k - 1; n++) l_enc_ok(e, lmp_put_u8(b, LMP_T_NIL));
    n = k;
    l_enc_value(e, lua_gettop(L));
    lua_pop(L, 1);
  }
  *count = n;
  return false;
}

/* The pairs from the one on the stack to the last; returns how many. */
static uint64_t enc_pairs(l_enc *e, int idx) {
  lua_State *L = e->L;
  lmp_buf *b = &e->s->bytes;
  int value = lua_gettop(L), key = value - 1;
  uint64_t n = 0;
  do {
    if (lua_type(L, key) == LUA_TSTRING) {
      enc_string(e, key);
    } else {
      l_enc_value(e, key);
    }
    l_enc_value(e, value);
    lua_settop(L, key);
    n++;
  } while (lua_next(L, idx));
  l_enc_ok(e, lmp_put_u8(b, LMP_T_END));
  return n;
}

/* The table at `idx` with all that is in it. */
static void enc_content(l_enc *e, int idx) {
  lua_State *L = e->L;
  lmp_buf *b = &e->s->bytes;
  lua_Integer count = 0;
  bool more = true;
  luaL_checkstack(L, 8, NULL);
  bool meta = lua_getmetatable(L, idx);
  lua_Unsigned len = lua_rawlen(L, idx);
  unsigned size = lmp_varint_size(len);
  l_enc_ok(e, lmp_buf_reserve(b, 2 + size));
  size_t head = b->len;
  b->data[head] = (uint8_t)(LMP_T_TABLE | (meta ? LMP_TABLE_META : 0));
  b->data[head + 1] = 0;
  b->data[head + 2] = 0;
  b->len += 2 + size;
  e->depth++;
  if (LMP_UNLIKELY(meta)) {
    enc_check_meta(e, idx);
    l_enc_value(e, lua_gettop(L));
    lua_pop(L, 1);
  }
  if (len > 0) {
    more = enc_elements(e, idx, (lua_Integer)len, &count);
    lmp_set_varint(b->data + head + 2, size, (uint64_t)count);
  } else {
    lua_pushnil(L);
    more = lua_next(L, idx);
  }
  if (more) b->data[head + 1] = lmp_hint_of(enc_pairs(e, idx));
  e->depth--;
}

static void enc_table(l_enc *e, int idx) {
  lua_State *L = e->L;
  const void *key = lua_topointer(L, idx);
  if (lua_getmetatable(L, idx)) {
    lua_pop(L, 1);
    if (enc_handle(e, idx)) return;
  }
  if (LMP_UNLIKELY(key == e->env)) {
    l_enc_ok(e, lmp_put_u8(&e->s->bytes, LMP_T_GLOBALS));
    return;
  }
  if (l_enc_pos(e) == 1) {
    e->lone = key;
    e->lone_pos = 1;
  } else if (l_enc_seen(e, key)) {
    return;
  }
  if (enc_type(e, key) || l_enc_named(e, idx)) return;
  if (LMP_UNLIKELY(e->depth >= LMP_NEST_MAX)) {
    l_enc_ok(e, lmp_put_u8(&e->s->bytes, LMP_T_TABLE_LATER));
    l_enc_later(e, idx);
  } else {
    enc_content(e, idx);
  }
}

/* ---- values ---- */

static void enc_userdata(l_enc *e, int idx) {
  lua_State *L = e->L;
  const char *name = NULL;
  if (enc_handle(e, idx)) return;
  luaL_checkstack(L, 4, NULL);
  if (luaL_getmetafield(L, idx, "__name") == LUA_TSTRING) name = lua_tostring(L, -1);
  if (!name)
    lua_pushstring(L, "a userdata");
  else if (strcmp(name, LUA_FILEHANDLE) == 0)
    lua_pushfstring(L, "an open file (%s)", name);
  else
    lua_pushfstring(L, "a userdata (%s)", name);
  l_enc_fail(e, idx, lua_tostring(L, -1));
}

static void enc_number(l_enc *e, int idx) {
  lmp_buf *b = &e->s->bytes;
  if (lua_isinteger(e->L, idx))
    l_enc_ok(e, lmp_put_int(b, lua_tointeger(e->L, idx)));
  else
    l_enc_ok(e, lmp_put_float(b, lua_tonumber(e->L, idx)));
}

void l_enc_value(l_enc *e, int idx) {
  lua_State *L = e->L;
  lmp_buf *b = &e->s->bytes;
  switch (lua_type(L, idx)) {
    case LUA_TNIL:
      l_enc_ok(e, lmp_put_u8(b, LMP_T_NIL));
      break;
    case LUA_TBOOLEAN:
      l_enc_ok(e, lmp_put_u8(b, lua_toboolean(L, idx) ? LMP_T_TRUE : LMP_T_FALSE));
      break;
    case LUA_TNUMBER:
      enc_number(e, idx);
      break;
    case LUA_TSTRING:
      enc_string(e, idx);
      break;
    case LUA_TTABLE:
      enc_table(e, idx);
      break;
    case LUA_TFUNCTION:
      l_enc_function(e, idx);
      break;
    case LUA_TUSERDATA:
      enc_userdata(e, idx);
      break;
    case LUA_TLIGHTUSERDATA:
      e->alone = true;
      l_enc_ok(e, lmp_put_light(b, e->c->image, (uintptr_t)lua_touserdata(L, idx)));
      break;
    default:
      l_enc_fail(e, idx, "a coroutine");
  }
}

/* What stands behind the value: bodies while there are any, then a global, and so on. */
static void enc_rest(l_enc *e) {
  lua_State *L = e->L;
  while (e->later_done < e->nlater || e->globals_done < e->nglobals) {
    if (e->later_done == e->nlater) {
      l_enc_global(e);
      continue;
    }
    int type = lua_rawgeti(L, e->later, ++e->later_done);
    lua_pushnil(L);
    lua_rawseti(L, e->later, e->later_done);
    if (type == LUA_TTABLE)
      enc_content(e, lua_gettop(L));
    else
      l_enc_upvalues(e, lua_gettop(L));
    lua_pop(L, 1);
  }
}

/* Before tables, functions and whatever else may take more than one tag; leaves two values on the stack. */
static void rich_begin(l_enc *e) {
  lua_State *L = e->L;
  int top = lua_gettop(L);
  luaL_checkstack(L, 8, NULL);
  l_push_globals(L);
  e->env = lua_topointer(L, -1);
  lua_pushnil(L);
  e->later = top + 1;
  e->globals = top + 2;
  lmp_idmap_reset(&e->s->ids);
  l_names_refresh(L, e->c);
}

static void enc_rich(l_enc *e) {
  int top = lua_gettop(e->L);
  rich_begin(e);
  l_enc_value(e, e->idx);
  enc_rest(e);
  lua_settop(e->L, top);
}

/* The elements first to first + n - 1 of the list at `idx`, as a list of their own. */
static void enc_slice(l_enc *e, lua_Integer first, lua_Integer n) {
  lua_State *L = e->L;
  lmp_buf *b = &e->s->bytes;
  int top = lua_gettop(L);
  bool raw = !lua_getmetatable(L, e->idx);
  lua_settop(L, top);
  rich_begin(e);
  l_enc_ok(e, lmp_put_u8(b, LMP_T_TABLE) && lmp_put_u8(b, 0) && lmp_put_varint(b, (uint64_t)n));
  e->depth++;
  for (lua_Integer i = first; i < first + n; i++) {
    if (raw) {
      lua_rawgeti(L, e->idx, i);
    } else {
      lua_geti(L, e->idx, i);
    }
    l_enc_value(e, lua_gettop(L));
    lua_pop(L, 1);
  }
  e->depth--;
  enc_rest(e);
  lua_settop(L, top);
}

/* `frame` is that of the function that encodes. */
static l_enc message_begin(lua_State *L, l_codec *c, int idx, const char *root, unsigned flags,
                           const char *frame) {
  l_set *s = c->current;
  if (!s) l_nomem(L);
  l_enc e = {.L = L, .c = c, .s = s, .root = root, .idx = lua_absindex(L, idx), .flags = flags};
  e.start = e.piece_start = s->bytes.len;
  e.piece = s->npieces;
  e.handle = s->nhandles;
  s->frame = frame;
  l_enc_ok(&e, lmp_put_u8(&s->bytes, LMP_FORMAT_VERSION));
  return e;
}

static void message_end(l_enc *e) {
  l_set *s = e->s;
  l_mark mark = {.piece = e->piece, .handle = e->handle};
  if (s->bytes.len > e->piece_start) {
    l_enc_ok(e, piece_add(s, NULL, s->bytes.len - e->piece_start));
  }
  mark.npieces = s->npieces - e->piece;
  mark.nhandles = s->nhandles - e->handle;
  mark.len = s->bytes.len - e->start + e->borrowed;
  mark.alone = e->alone;
  l_enc_ok(e, mark_add(s, mark));
  s->frame = NULL;
  e->c->current = s;
}

void l_encode(lua_State *L, l_codec *c, int idx, const char *root, unsigned flags) {
  l_enc e = message_begin(L, c, idx, root, flags, __builtin_frame_address(0));
  int type = lua_type(L, e.idx);
  if (type == LUA_TNUMBER)
    enc_number(&e, e.idx);
  else if (type < LUA_TSTRING)
    l_enc_value(&e, e.idx); /* nil, boolean, light userdata */
  else if (type == LUA_TSTRING && lua_rawlen(L, e.idx) < LMP_BLOB_MIN)
    enc_string(&e, e.idx);
  else
    enc_rich(&e);
  message_end(&e);
}

void l_encode_slice(lua_State *L, l_codec *c, int idx, lua_Integer first, lua_Integer n,
                    const char *root, unsigned flags) {
  l_enc e = message_begin(L, c, idx, root, flags, __builtin_frame_address(0));
  enc_slice(&e, first, n);
  message_end(&e);
}

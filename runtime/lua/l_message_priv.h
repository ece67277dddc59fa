/* lua/l_message_priv.h: what the files of the message layer share.
 * SPDX-License-Identifier: MIT */
#ifndef LMP_LUA_L_MESSAGE_PRIV_H
#define LMP_LUA_L_MESSAGE_PRIV_H

#include <lauxlib.h>
#include <lua.h>

#include "base/buf.h"
#include "codec/idmap.h"
#include "lua/l_message.h"

/* The kinds of identities in l_set.ids. */
enum {
  ID_OBJECT,  /* a table, function, or long string; key: its address */
  ID_UPVALUE, /* key: lua_upvalueid; aux: number in the function that had it first */
  ID_HANDLE,  /* key: the handle; pos: its index */
  ID_META,    /* a table that may be a metatable of what is sent by value */
  ID_CODE     /* key: hash of bytecode */
};

/* A piece of a message: borrowed memory, or `len` further bytes of l_set.bytes. */
typedef struct l_piece {
  const void *data;
  size_t len;
} l_piece;

/* Where a message of a set stands in its arrays. */
typedef struct l_mark {
  uint32_t piece, npieces;
  uint32_t handle, nhandles;
  size_t len;
  bool alone;
} l_mark;

/* The buffers of one encoding call. A call made by a finaliser inside another has the next set. */
typedef struct l_set {
  struct l_set *next;
  const char *frame; /* address in the C stack of the l_encode at work, NULL when none is */
  lmp_buf bytes;
  lmp_buf names; /* scratch: globals found in one function */
  l_piece *pieces;
  lmp_iov *iov; /* the pieces once they have addresses */
  uint32_t npieces, cappieces;
  l_mark *marks;
  lmp_msg *msgs;
  uint32_t nmsgs, capmsgs;
  lmp_handle *handles;
  uint32_t nhandles, caphandles;
  lmp_idmap ids;
} l_set;

/* One entry of the index of names. */
typedef struct l_name {
  uint32_t parent; /* entry of what holds it, UINT32_MAX for a module */
  uint32_t len;
  size_t off;    /* name in l_names.text */
  uint8_t depth; /* fields behind the module's name */
  bool table;    /* it may be looked into */
  bool base;     /* a function of the base library; has no parent */
  bool own;      /* of luamp itself */
} l_name;

/* The index of what require'd modules hold. */
typedef struct l_names {
  lmp_idmap map; /* address -> entry */
  l_name *entries;
  uint32_t n, cap;
  lmp_buf text;
  uint64_t loaded;     /* digest of package.loaded at the time of the build */
  const void *globals; /* the table of globals then */
  uint32_t generation;
} l_names;

#define L_BASE_MAX 32
#define L_PATH_MAX 3 /* fields behind a module's name */

struct l_codec {
  l_set first;
  l_set *current; /* NULL: no memory for one */
  l_names names;
  lmp_idmap types; /* metatable of mp.register -> its name in type_text */
  lmp_buf type_text;
  lmp_buf scratch; /* of l_function_names */
  int registry;    /* reference: name -> metatable */
  int loaded;      /* reference: package.loaded */
  uint64_t image;
  lua_CFunction base[L_BASE_MAX];
};

/* ---- l_message.c ---- */

/* l_nomem: raises Lua's own error for memory. */
LMP_NORETURN void l_nomem(lua_State *L);
/* l_push_globals: pushes the table of globals. */
void l_push_globals(lua_State *L);

/* ---- l_names.c ---- */

/* l_names_init: finds the genuine base functions; raises. l_names_fini: frees. */
void l_names_init(lua_State *L, l_codec *c);
void l_names_fini(l_codec *c);
/* l_names_refresh: rebuilds the index when package.loaded changed. May raise; runs no Lua code. */
void l_names_refresh(lua_State *L, l_codec *c);
/* l_names_find: the entry for the table or function at `idx`, NULL when no module holds it. Checked
 * against what the module holds now. Valid until something else is asked of the index. */
const l_name *l_names_find(lua_State *L, l_codec *c, int idx);
/* l_names_text: a name as bytes. */
const char *l_names_text(const l_codec *c, const l_name *e);
/* l_names_standard: the value at `idx` is what a fresh state has in its global `name`. */
bool l_names_standard(lua_State *L, l_codec *c, const char *name, int idx);
/* l_names_push_base: pushes the base function of that name; false (nothing pushed) when there is none. */
bool l_names_push_base(lua_State *L, l_codec *c, const char *name, size_t len);

/* ---- l_encode.c ---- */

typedef struct l_enc {
  lua_State *L;
  l_codec *c;
  l_set *s;
  const char *root; /* first word of paths */
  int idx;          /* the value of the message */
  int later;        /* stack slot of the table of objects whose bodies are due */
  int globals;      /* stack slot of the table of names of globals that are due, or nil */
  lua_Integer nlater, later_done;
  lua_Integer nglobals, globals_done;
  unsigned flags, depth;
  size_t start;       /* of the message in s->bytes */
  size_t piece_start; /* of its unfinished piece */
  uint32_t piece, handle;
  size_t borrowed;  /* bytes in borrowed pieces */
  const void *env;  /* the table of globals */
  const void *lone; /* the first table, not yet in s->ids */
  uint64_t lone_pos;
  bool alone; /* see lmp_msg */
} l_enc;

/* l_enc_value: appends the value at the absolute index `idx`. */
void l_enc_value(l_enc *e, int idx);
/* l_enc_id: the identity (key, kind) of the message, made with pos = UINT64_MAX. Raises. */
lmp_id *l_enc_id(l_enc *e, uint64_t key, unsigned kind);
/* l_enc_seen: writes a reference when the object at `key` is in the message already; else notes that
 * it stands at the present position. */
bool l_enc_seen(l_enc *e, const void *key);
/* l_enc_pos: the position of what comes next. */
static inline uint64_t l_enc_pos(const l_enc *e) { return e->s->bytes.len - e->start; }
/* l_enc_share: sets the shared bit of the tag at `pos`. */
static inline void l_enc_share(const l_enc *e, uint64_t pos) {
  e->s->bytes.data[e->start + pos] |= 1;
}
/* l_enc_ok: raises unless `ok`. */
static inline void l_enc_ok(l_enc *e, bool ok) {
  if (LMP_UNLIKELY(!ok)) l_nomem(e->L);
}
/* l_enc_named: writes the value at `idx`, which is noted as seen, by name when it has one. */
bool l_enc_named(l_enc *e, int idx);
/* l_enc_later: notes that the body of the object at `idx` is due. */
void l_enc_later(l_enc *e, int idx);
/* l_enc_fail: gives the message up and raises "cannot send <what> at <path of the value at idx>". */
LMP_NORETURN void l_enc_fail(l_enc *e, int idx, const char *what);

/* ---- l_function.c ---- */

/* l_enc_function: appends the function at `idx`. l_enc_upvalues: its upvalues. */
void l_enc_function(l_enc *e, int idx);
void l_enc_upvalues(l_enc *e, int idx);
/* l_enc_globals: appends the next due global, if it is the script's own. */
void l_enc_global(l_enc *e);
/* What an upvalue may be to a function's globals. */
typedef enum l_env { ENV_NONE, ENV_GLOBALS, ENV_OVER, ENV_VIEW } l_env;
/* l_function_env: says it of the upvalue `name` whose value is at the top. Runs no Lua code. */
l_env l_function_env(lua_State *L, const char *name);
/* l_function_names: pushes two values that hold the names of the globals that the Lua function at the
 * absolute index `idx` reads, and returns how many. l_function_name: pushes the i-th (from 0), the two
 * values being on top. */
size_t l_function_names(lua_State *L, l_codec *c, int idx);
void l_function_name(lua_State *L, size_t i);
/* l_function_load: pushes a function made of bytecode, or a string that says why not (false). */
bool l_function_load(lua_State *L, const char *code, size_t len);

/* ---- l_walk.c: the graph of what a value reaches ---- */

/* l_path: pushes "root.a[1]", the shortest way from the value at `from` to the one at `to`. Raises. */
void l_path(lua_State *L, l_codec *c, const char *root, int from, int to);

#endif

/* lua/l_message.h: Lua value <-> message bytes.
 * SPDX-License-Identifier: MIT */
#ifndef LMP_LUA_L_MESSAGE_H
#define LMP_LUA_L_MESSAGE_H

#include <lua.h>

#include "base/buf.h"
#include "base/err.h"

/* The encoder and decoder of one Lua state (all its coroutines): buffers that are reused, the index of
 * what `require`d modules hold, the registry of mp.register. */
typedef struct l_codec l_codec;

/* l_codec_new: pushes the userdata that owns a new codec, and returns it. One per main Lua state. */
l_codec *l_codec_new(lua_State *L);

enum {
  L_FUNCTIONS = 1,    /* l_decode: accept bytecode */
  L_HANDLES = 2,      /* l_encode: accept handles (mp.encode does not) */
  L_NO_FUNCTIONS = 4, /* l_encode: refuse functions (a network peer does not take them) */
  L_FRESH = 8 /* l_decode: globals that come along overwrite; at the start of a fresh process */
};

/* l_encode_begin: forgets the messages that were encoded before; to be called before the first
 * l_encode of a call. Safe when a finaliser, run by a collection inside l_encode, encodes too. */
void l_encode_begin(l_codec *c);

/* l_encode: encodes the value at `idx` as one further message. Raises, after undoing what it appended,
 * when the value cannot be sent: "cannot send a coroutine at message.jobs[3].co"; `root` is the first
 * word of that path ("message"). Large strings are borrowed: they must stay reachable on the Lua side
 * until the message was used. */
void l_encode(lua_State *L, l_codec *c, int idx, const char *root, unsigned flags);

/* l_encode_slice: the same for the elements first to first + n - 1 of the list at `idx`, as a list of their own. */
void l_encode_slice(lua_State *L, l_codec *c, int idx, lua_Integer first, lua_Integer n,
                    const char *root, unsigned flags);

/* l_flat_encode: writes the message of the table at `idx` into `to`, when all that is in it are scalars and
 * it has neither elements nor a metatable nor a name; its length, 0: it takes l_encode. The same bytes, without
 * the bookkeeping. */
#define L_FLAT_MAX 448
size_t l_flat_encode(lua_State *L, l_codec *c, int idx, uint8_t to[L_FLAT_MAX]);

/* l_encoded: the messages since l_encode_begin, *count of them; valid until the next l_encode_begin. */
const lmp_msg *l_encoded(l_codec *c, size_t *count);

/* l_encode_end: says that the messages were used, so that large buffers are freed now and not in the
 * next l_encode_begin. Optional. */
void l_encode_end(l_codec *c);

/* l_codec_registry: pushes the table of mp.register, name -> metatable: what a spawned child needs. To
 * fill the child's, call mp.register with each pair. */
void l_codec_registry(lua_State *L, l_codec *c);

/* l_decode: pushes the value of a message. Any bytes are safe. LMP_E_BROKEN pushes a sentence for
 * people instead: bad bytes, functions without L_FUNCTIONS, a module that is missing here, light
 * userdata of another image. Raises only when memory is out. `bytes` and `handles` are borrowed; the
 * process holds every handle of the list during the call. With L_FUNCTIONS it may `require` modules,
 * whose code may do anything, receive messages included: `bytes` must not be in a buffer that the next
 * receive uses. */
lmp_err l_decode(lua_State *L, l_codec *c, const void *bytes, size_t len, const lmp_handle *handles,
                 uint32_t nhandles, unsigned flags);

/* l_decode_list: the same where the value is a list of elements and no more: they go into the table at `into`, from
 * index `first` on, which is pushed, and *count is how many there were. -1: it is something else, and pushed as
 * l_decode does. */
lmp_err l_decode_list(lua_State *L, l_codec *c, const void *bytes, size_t len,
                      const lmp_handle *handles, uint32_t nhandles, unsigned flags, int into,
                      lua_Integer first, lua_Integer *count);

/* l_reach: finds the handles that a forked child may use: all that the `n` values below the top reach
 * through tables, metatables, upvalues, the globals that functions name and the modules these use.
 * Appends the handle values to the table at index `out` (each once, from #out + 1) and pops nothing.
 * Stops early when `limit` were found. Unsendable values are walked through or skipped, never errors;
 * raises only when memory is out. */
void l_reach(lua_State *L, l_codec *c, int n, int out, size_t limit);

/* l_lualib_is: true when the value at `idx` is an object made by lualib: a table whose metatable has a field
 * `__luamp`, true for those that belong to their process and do not travel. */
bool l_lualib_is(lua_State *L, int idx);

/* l_message_funcs: adds encode, decode and register to the module table at the top of the stack;
 * `codec` is the index of the userdata of l_codec_new. */
void l_message_funcs(lua_State *L, int codec);

#endif

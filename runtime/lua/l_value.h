/* lua/l_value.h: Lua values in and out of a Dict, a Namespace or a List.
 * SPDX-License-Identifier: MIT */
#ifndef LMP_LUA_L_VALUE_H
#define LMP_LUA_L_VALUE_H

#include "channel/entry.h"
#include "lua/l_scalar.h"
#include "lua/l_state.h"

#define L_OUT_SMALL 512 /* bytes of a value that is read into the C stack */

/* A value on its way in: the message of a scalar has its bytes here. */
typedef struct l_value {
  uint8_t scalar[L_SCALAR_MAX];
  lmp_iov piece;
  lmp_msg msg;
} l_value;

/* l_value_encode: the value at `idx` as a message, borrowed from `v`, the codec and the Lua value until the next Lua call.
 * Raises for what cannot be sent. */
const lmp_msg *l_value_encode(lua_State *L, l_state *st, l_value *v, int idx);

/* l_value_push: pushes the value that was read, and gives back what it holds; also when it raises. The buffer is in
 * the caller's frame, or a userdata on the stack. */
void l_value_push(lua_State *L, l_state *st, lmp_me *me, lmp_out *out);
/* l_key_push: pushes a key. */
void l_key_push(lua_State *L, l_state *st, const uint8_t *key, size_t len);
/* l_value_failed: raises what kept a value from being stored; `what` is the type of the container. LMP_E_INTR returns,
 * after the handlers of the signal. */
void l_value_failed(lua_State *L, lmp_err e, const char *what);

/* Numbers, as values are: read and computed with under a lock, so without Lua. */
typedef struct l_number {
  enum { L_NONE, L_INTEGER, L_FLOAT } kind;
  lua_Integer i;
  lua_Number n;
} l_number;

#define L_NUMBER_MAX 10u /* bytes of the message of a number */

/* l_number_read: the number that a message is; of kind L_NONE where it is none. l_number_write: the other way; returns
 * the length. */
l_number l_number_read(const uint8_t *p, size_t len);
size_t l_number_write(l_number x, uint8_t *to);
/* l_number_add: as Lua adds. l_number_equal: as Lua compares. */
l_number l_number_add(l_number a, l_number b);
bool l_number_equal(l_number a, l_number b);

#endif

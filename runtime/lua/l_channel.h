/* lua/l_channel.h: sending and receiving Lua values through a channel; what Queue and Connection share.
 * SPDX-License-Identifier: MIT */
#ifndef LMP_LUA_L_CHANNEL_H
#define LMP_LUA_L_CHANNEL_H

#include "lua/l_state.h"

/* In all of these, `u` is the open handle through which channel `q` is reached. A wait lets signal
 * handlers run, whose Lua code may close that handle: then it raises. */

/* l_sent: pushes true, or false and the code of an outcome. */
int l_sent(lua_State *L, lmp_err e);

/* l_send: encodes the value at `arg` and puts it. Raises what cannot be sent. */
LMP_NODISCARD lmp_err l_send(lua_State *L, l_obj *u, lmp_me *me, lmp_obj *q, int arg,
                             uint64_t deadline);
/* l_send_msg: puts a message whose bytes stay where they are during the call. */
LMP_NODISCARD lmp_err l_send_msg(lua_State *L, l_obj *u, lmp_me *me, lmp_obj *q, const lmp_msg *m,
                                 uint64_t deadline);
/* What every channel of a family takes. */
#define L_SEND_FLAGS L_HANDLES

/* l_box: the inbox of the state, or a new one while an outer call is still reading that one (a module
 * that a message names is being required). May push one value. */
lmp_inbox *l_box(lua_State *L, l_state *st);
/* l_box_done: gives back what the messages in it hold. */
void l_box_done(lmp_me *me, lmp_inbox *box);

/* l_receive: lmp_queue_get that goes on after a signal. */
LMP_NODISCARD lmp_err l_receive(lua_State *L, l_obj *u, lmp_me *me, lmp_obj *q, uint32_t max,
                                uint64_t deadline, lmp_inbox *box);

/* l_poll: lmp_queue_poll that goes on after a signal. */
LMP_NODISCARD lmp_err l_poll(lua_State *L, l_obj *u, lmp_me *me, lmp_obj *q, uint64_t deadline);

/* Pushes what a message stands for, and returns how many values. May raise and run Lua code. */
typedef int l_decoder(lua_State *L, l_state *st, const lmp_in *in);
/* l_decode_value: the decoder of what l_send puts; raises `cannot rebuild a message: ...`. */
int l_decode_value(lua_State *L, l_state *st, const lmp_in *in);
/* l_push_received: decodes the one message of the box and gives it back, also when that raises. */
int l_push_received(lua_State *L, l_state *st, lmp_me *me, lmp_inbox *box, l_decoder *decode);
/* l_append_received: appends the values of all messages of the box to the list at `list`, which has
 * `have`; gives all back, also when one raises. */
void l_append_received(lua_State *L, l_state *st, lmp_me *me, lmp_inbox *box, int list,
                       lua_Integer have);

#endif

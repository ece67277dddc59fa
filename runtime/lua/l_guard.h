/* lua/l_guard.h: what is held for as long as a scope or a call lasts.
 * SPDX-License-Identifier: MIT */
#ifndef LMP_LUA_L_GUARD_H
#define LMP_LUA_L_GUARD_H

#include "lua/l_state.h"

/* A value for `local held <close>`: releases at the end of the scope what it was given to hold. */
typedef struct l_guard {
  lmp_err (*release)(lmp_me *me, lmp_obj *o);
  const l_obj *u; /* the handle, which the guard keeps */
  uint64_t epoch; /* a guard that a fork copied has nothing to release */
  bool held;      /* set by the caller, once the object is acquired */
  bool abandoned; /* its last holder ended without releasing it */
} l_guard;

/* l_callable: raises unless the argument is a function or can be called like one. */
void l_callable(lua_State *L, int arg);

/* l_guard_push: pushes a guard for the handle `u` at `arg`, which holds nothing yet: own before you
 * acquire. */
l_guard *l_guard_push(lua_State *L, int arg, const l_obj *u,
                      lmp_err (*release)(lmp_me *me, lmp_obj *o));
/* l_guard_enter, l_guard_run: object:with(f, ...). The first checks that the value at 2 can be called and
 * pushes a guard that is closed at the end of the C function in any way. Once the caller has acquired, the
 * second calls f with the other arguments, and "abandoned" where that is so, and returns the count of
 * results, to be returned at once. */
l_guard *l_guard_enter(lua_State *L, const l_obj *u, lmp_err (*release)(lmp_me *me, lmp_obj *o));
int l_guard_run(lua_State *L, const l_guard *g);

#endif

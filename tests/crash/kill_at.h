/* crash/kill_at.h: SIGKILL at a moment that is hard to hit.
 * SPDX-License-Identifier: MIT */
#ifndef LMP_TESTS_CRASH_KILL_AT_H
#define LMP_TESTS_CRASH_KILL_AT_H

#include <stdint.h>
#include <sys/types.h>

/* kill_at_futex: kills the child `pid` when it is about to make its nth futex call since *began was set, in place of
 * that call: it has changed the word, and has not woken who sleeps on it. `go` is called when the child
 * can no longer get past it. Collects the child; kills it soon in any case. */
void kill_at_futex(pid_t pid, unsigned nth, const uint32_t *began, void (*go)(void));

#endif

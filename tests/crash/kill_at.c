/* crash/kill_at.c: SIGKILL at a moment that is hard to hit.
 * SPDX-License-Identifier: MIT */
#include "kill_at.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/atomic.h"

#define STOPS_MOST 200 /* of a child that does not do what was expected */

static bool at_futex(pid_t pid, int status) {
  struct __ptrace_syscall_info info = {0};
  if (WSTOPSIG(status) != (SIGTRAP | 0x80)) return false;
  if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info) <= 0) return false;
  return info.op == PTRACE_SYSCALL_INFO_ENTRY && info.entry.nr == SYS_futex;
}

void kill_at_futex(pid_t pid, unsigned nth, const uint32_t *began, void (*go)(void)) {
  int status = 0;
  bool traced = !ptrace(PTRACE_SEIZE, pid, NULL, PTRACE_O_TRACESYSGOOD) &&
                !ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) && waitpid(pid, &status, 0) == pid &&
                WIFSTOPPED(status);
  go();
  for (unsigned i = 0; traced && nth > 0 && i < STOPS_MOST; i++) {
    if (ptrace(PTRACE_SYSCALL, pid, NULL, NULL) || waitpid(pid, &status, 0) != pid) break;
    if (!WIFSTOPPED(status)) return; /* it has ended */
    nth -= lmp_load_acq32(began) && at_futex(pid, status);
  }
  kill(pid, SIGKILL);
  while (waitpid(pid, &status, 0) == pid && WIFSTOPPED(status)) {
  }
}

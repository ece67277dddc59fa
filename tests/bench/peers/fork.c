/* SPDX-License-Identifier: MIT */
/* fork.c: fork COUNT: forks, exits and waits, COUNT times, with nothing else: the
 * limit for starting and joining a process. */
#include "peer.h"

int main(int argc, char **argv) {
  int64_t count = count_of(argc > 1 ? argv[1] : "");
  int status;
  pid_t pid = start();
  if (pid == 0) _exit(7);
  if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 7)
    fail("the child did not run");
  double t0 = now();
  for (int64_t i = 0; i < count; i++) {
    pid = fork();
    if (pid == 0) _exit(0);
    join(pid);
  }
  double t1 = now();
  printf("RESULT %.9g /s\n", (double)count / (t1 - t0));
  return 0;
}

/* SPDX-License-Identifier: MIT */
/* spawn.c: spawn COUNT -- LABEL [NAME=VALUE ...] PROGRAM [ARGS] [-- LABEL ...]
 * Runs the commands in turn, COUNT times each, from exec to exit, and prints the
 * median of each in ms. A command must exit with 0. Blanks in a LABEL are written
 * as underscores. */
#include "peer.h"

#include <spawn.h>

enum { MAX_COMMANDS = 16 };

extern char **environ;

typedef struct command {
  const char *label;
  char **argv, **env;
  double *times;
} command;

/* with_environment returns environ with the leading NAME=VALUE arguments in front. */
static char **with_environment(command *c) {
  size_t own = 0, inherited = 0;
  while (c->argv[own] != NULL && strchr(c->argv[own], '=') != NULL) own++;
  while (environ[inherited] != NULL) inherited++;
  char **env = allocate((own + inherited + 1) * sizeof *env);
  memcpy(env, c->argv, own * sizeof *env);
  memcpy(env + own, environ, (inherited + 1) * sizeof *env);
  c->argv += own;
  return env;
}

static double run(command *c) {
  pid_t pid;
  double t = now();
  int e = posix_spawn(&pid, c->argv[0], NULL, NULL, c->argv, c->env);
  if (e != 0) fail("%s: %s", c->argv[0], strerror(e));
  join(pid);
  return (now() - t) * 1e3;
}

int main(int argc, char **argv) {
  command commands[MAX_COMMANDS];
  int n = 0;
  int64_t count = count_of(argc > 1 ? argv[1] : "");
  for (int i = 2; i < argc; i++) {
    if (strcmp(argv[i], "--") != 0) continue;
    argv[i] = NULL;
    if (n == MAX_COMMANDS || i + 2 >= argc) fail("spawn COUNT -- LABEL PROGRAM ...");
    commands[n].label = argv[i + 1];
    commands[n++].argv = argv + i + 2;
  }
  for (int k = 0; k < n; k++) {
    commands[k].env = with_environment(&commands[k]);
    commands[k].times = allocate((size_t)count * sizeof(double));
    run(&commands[k]); /* not counted: brings the files into memory */
  }
  for (int64_t i = 0; i < count; i++)
    for (int k = 0; k < n; k++) commands[k].times[i] = run(&commands[k]);
  for (int k = 0; k < n; k++) {
    qsort(commands[k].times, (size_t)count, sizeof(double), compare_doubles);
    printf("RESULT %.9g ms %s\n", commands[k].times[count / 2], commands[k].label);
    free(commands[k].times);
    free(commands[k].env);
  }
  return 0;
}

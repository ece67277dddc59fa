/* tests/checks/run.c: runs one test: run [OPTIONS] COMMAND [ARGS].
 * SPDX-License-Identifier: MIT
 *
 * -t SECONDS  the most it may take (60)
 * -g SECONDS  how long its descendants may outlive it (5)
 * -P DIR      Lua files are found in DIR, then in the usual places
 * -C DIR      C modules for Lua likewise
 *
 * The command gets a session and process group of its own, an empty standard input, and a scratch
 * directory (TMPDIR). It fails when it takes too long, and when any descendant, in whatever
 * group or session, is still there some time after its end: the runner is the reaper of
 * all orphans below it, so none can hide. It also fails when a sanitizer or valgrind reported anything
 * of any of them: their reports go to files, whose directory is in LUAMP_REPORTS. Whatever happens, nothing stays behind: not the processes
 * (SIGKILL, until there are no children left), not the directory. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_REPORT = 122, EXIT_LEFT = 123, EXIT_TIMEOUT = 124, EXIT_RUNNER = 125 };

static char scratch[2048], reports[2100];

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int entry_remove(const char *path, const struct stat *st, int type, struct FTW *ftw) {
  (void)st;
  (void)type;
  (void)ftw;
  return remove(path);
}

static void proc_read(long pid, const char *file, char *buf, size_t cap) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%ld/%s", pid, file);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? 0 : read(fd, buf, cap - 1);
  if (fd >= 0) close(fd);
  if (n < 0) n = 0;
  buf[n] = 0;
  for (ssize_t i = 0; i < n; i++) {
    if (buf[i] == 0 || buf[i] == '\n') buf[i] = i + 1 < n ? ' ' : 0;
  }
}

/* The parent of a process, and its state letter; 0 when it is gone. */
static long proc_parent(long pid, char *state) {
  char stat[512];
  proc_read(pid, "stat", stat, sizeof stat);
  const char *end = strrchr(stat, ')'); /* the name may hold anything */
  long parent = 0;
  if (!end || sscanf(end + 1, " %c %ld", state, &parent) != 2) return 0;
  return parent;
}

static bool proc_is_ours(long pid) {
  long me = getpid();
  char state;
  for (int depth = 0; pid > 1 && depth < 1000; depth++) {
    pid = proc_parent(pid, &state);
    if (pid == me) return true;
  }
  return false;
}

/* Calls `visit` for every descendant. */
static void each_descendant(void (*visit)(long pid)) {
  DIR *dir = opendir("/proc");
  if (!dir) return;
  for (struct dirent *e; (e = readdir(dir));) {
    long pid = strtol(e->d_name, NULL, 10);
    if (pid > 0 && proc_is_ours(pid)) visit(pid);
  }
  closedir(dir);
}

static void visit_print(long pid) {
  char command[512], wchan[128], syscall[128], state = '?';
  long parent = proc_parent(pid, &state);
  proc_read(pid, "cmdline", command, sizeof command);
  proc_read(pid, "wchan", wchan, sizeof wchan);
  proc_read(pid, "syscall", syscall, sizeof syscall);
  fprintf(stderr, "  pid %ld, parent %ld, state %c, in %s (%s): %s\n", pid, parent, state, wchan,
          syscall, command);
}

static void visit_kill(long pid) { kill((pid_t)pid, SIGKILL); }

static void kill_all(void) {
  double end = now() + 10;
  for (;;) {
    each_descendant(visit_kill);
    pid_t pid;
    while ((pid = waitpid(-1, NULL, WNOHANG)) > 0) {
    }
    if (pid < 0 && errno == ECHILD) return;
    if (now() > end) {
      fprintf(stderr, "run: cannot get rid of:\n");
      each_descendant(visit_print);
      return;
    }
    usleep(2000);
  }
}

/* Prints what is in a file of reports; true when it is one. Lines of valgrind that do not begin with
 * "==" are remarks about itself. */
static bool report_print(const char *name) {
  char path[2400], line[1024];
  snprintf(path, sizeof path, "%s/%s", reports, name);
  FILE *file = fopen(path, "r");
  if (!file) return false;
  bool valgrind = strncmp(name, "valgrind", 8) == 0, found = false;
  while (fgets(line, sizeof line, file)) {
    fputs(line, stderr);
    if (!valgrind || strncmp(line, "==", 2) == 0) found = true;
  }
  fclose(file);
  return found;
}

static bool reports_print(void) {
  bool found = false;
  DIR *dir = opendir(reports);
  if (!dir) return false;
  for (struct dirent *e; (e = readdir(dir));) {
    if (e->d_name[0] != '.' && report_print(e->d_name)) found = true;
  }
  closedir(dir);
  return found;
}

static int leave(int status) {
  kill_all();
  if (reports_print() && status == 0) status = EXIT_REPORT;
  nftw(scratch, entry_remove, 16, FTW_DEPTH | FTW_PHYS);
  return status;
}

/* Makes the scratch directory, and tells the command and its tools about it. */
static bool scratch_make(void) {
  const char *tmp = getenv("TMPDIR");
  snprintf(scratch, sizeof scratch, "%s/luamp-test-XXXXXX", tmp && *tmp ? tmp : "/tmp");
  if (!mkdtemp(scratch)) return false;
  snprintf(reports, sizeof reports, "%s/reports", scratch);
  if (mkdir(reports, 0700) < 0) return false;
  setenv("LUAMP_REPORTS", reports, 1);
  static const char *const options[] = {"ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"};
  for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
    char value[8192];
    const char *old = getenv(options[i]);
    snprintf(value, sizeof value, "%s:log_path=%s/sanitizer", old ? old : "", reports);
    setenv(options[i], value, 1);
  }
  char dir[2100];
  snprintf(dir, sizeof dir, "%s/tmp", scratch);
  setenv("TMPDIR", dir, 1);
  return mkdir(dir, 0700) == 0;
}

static void exec_command(char **argv, const sigset_t *mask) {
  setsid();
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  sigprocmask(SIG_SETMASK, mask, NULL);
  int fd = open("/dev/null", O_RDONLY);
  if (fd > 0) {
    dup2(fd, 0);
    close(fd);
  }
  execvp(argv[0], argv);
  fprintf(stderr, "run: %s: %s\n", argv[0], strerror(errno));
  _exit(EXIT_RUNNER);
}

/* Sets a search path of Lua; ";;" stands for the built-in one. A semicolon would not survive CMake. */
static void path_set(const char *name, const char *dir, const char *suffix) {
  char path[4096];
  snprintf(path, sizeof path, "%s/?.%s;;", dir, suffix);
  setenv(name, path, 1);
}

int main(int argc, char **argv) {
  double limit = 60, grace = 5;
  int opt;
  while ((opt = getopt(argc, argv, "+t:g:P:C:")) != -1) {
    if (opt == 't') {
      limit = atof(optarg);
    } else if (opt == 'g') {
      grace = atof(optarg);
    } else if (opt == 'P') {
      path_set("LUA_PATH", optarg, "lua");
    } else if (opt == 'C') {
      path_set("LUA_CPATH", optarg, "so");
    } else {
      return EXIT_RUNNER;
    }
  }
  if (optind == argc) {
    fprintf(stderr, "usage: run [-t SECONDS] [-g SECONDS] [-P DIR] [-C DIR] COMMAND [ARGS]\n");
    return EXIT_RUNNER;
  }

  if (!scratch_make()) {
    perror("run: scratch directory");
    return EXIT_RUNNER;
  }

  sigset_t set, mask;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGHUP);
  sigaddset(&set, SIGPIPE);
  sigprocmask(SIG_BLOCK, &set, &mask);
  prctl(PR_SET_CHILD_SUBREAPER, 1);

  pid_t child = fork();
  if (child < 0) {
    perror("fork");
    return leave(EXIT_RUNNER);
  }
  if (child == 0) exec_command(argv + optind, &mask);

  bool ended = false;
  int status = 0;
  double end = now() + limit;
  for (;;) {
    int st;
    pid_t pid;
    while ((pid = waitpid(-1, &st, WNOHANG)) > 0) {
      if (pid == child) {
        ended = true;
        status = st;
        end = now() + grace;
      }
    }
    if (pid < 0 && errno == ECHILD) break; /* all of them are gone */
    if (now() >= end) {
      fprintf(stderr,
              ended ? "run: still there %g seconds after the end of the test:\n"
                    : "run: not over after %g seconds:\n",
              ended ? grace : limit);
      each_descendant(visit_print);
      return leave(ended ? EXIT_LEFT : EXIT_TIMEOUT);
    }
    /* SIGCHLD may be missed for orphans that end while we look; hence the short turns. */
    struct timespec turn = {0, 50000000};
    int sig = sigtimedwait(&set, NULL, &turn);
    if (sig > 0 && sig != SIGCHLD) return leave(128 + sig);
  }
  if (WIFSIGNALED(status)) {
    fprintf(stderr, "run: ended by signal %d (%s)\n", WTERMSIG(status),
            strsignal(WTERMSIG(status)));
    return leave(128 + WTERMSIG(status));
  }
  return leave(WEXITSTATUS(status));
}

/* main/line.c: reading lines for the interactive mode, with libedit on a terminal.
 * SPDX-License-Identifier: MIT
 *
 * libedit is loaded when interactive mode begins, so a script's start pays nothing for it and the
 * executable runs where it is missing.
 *
 * Ctrl-C at the prompt. SIGINT is blocked while a line is read and let in only by pselect, which
 * waits for the next byte: no signal falls between a check and the wait. libedit handles the other
 * signals of a terminal (stop, continue, new size) itself, with EL_SIGNAL; it would answer SIGINT
 * by sending it to the whole process group again, which our children would notice. */

#include "main/line.h"

#include <dlfcn.h>
#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <unistd.h>
#include <wchar.h>

/* What is used of <histedit.h>, whose numbers are part of libedit's binary interface. */
enum {
  EL_PROMPT = 0,
  EL_EDITOR = 2,
  EL_SIGNAL = 3,
  EL_BIND = 4,
  EL_HIST = 10,
  EL_GETCFN = 13,
  EL_REFRESH = 20
};
enum { H_SETSIZE = 1, H_ENTER = 10, H_SETUNIQUE = 20 };
#define HISTORY_SIZE 1000

typedef struct hist_event {
  int number;
  const char *text;
} hist_event;

typedef struct editor {
  void *library;
  void *el; /* NULL: no editing */
  void *hist;
  void *(*el_init)(const char *, FILE *, FILE *, FILE *);
  void (*el_end)(void *);
  int (*el_set)(void *, int, ...);
  int (*el_source)(void *, const char *);
  const char *(*el_gets)(void *, int *);
  void *(*history_init)(void);
  void (*history_end)(void *);
  int (*history)(void *, hist_event *, int, ...);
} editor;

/* One per process: there is one standard input, and a signal handler gets no argument. */
static struct {
  editor editor;
  bool echo;        /* input is no terminal: show what was read */
  char *text;       /* the last line */
  size_t size;      /* of the memory at text */
  char *prompt;     /* what libedit's callback gives */
  sigset_t outside; /* the signal mask outside of line_read */
  volatile sig_atomic_t interrupted;
} line;

static void signal_handle(int number) {
  (void)number;
  line.interrupted = 1;
}

/* byte_wait: true when a byte (or the end) can be read, false when SIGINT came. */
static bool byte_wait(void) {
  struct sigaction action;
  struct sigaction before;
  memset(&action, 0, sizeof action);
  action.sa_handler = signal_handle;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, &before);
  bool ready = false;
  while (!ready && !line.interrupted) {
    fd_set fds;
    FD_ZERO(&fds);
    FD_SET(STDIN_FILENO, &fds);
    int n = pselect(STDIN_FILENO + 1, &fds, NULL, NULL, NULL, &line.outside);
    ready = n > 0 || (n < 0 && errno != EINTR);
    if (n < 0 && errno == EINTR && !line.interrupted && line.editor.el)
      line.editor.el_set(line.editor.el, EL_REFRESH); /* back from a stop, or a new size */
  }
  sigaction(SIGINT, &before, NULL);
  return ready;
}

/* character_get: libedit's source of characters: 1, or 0 at the end, or -1. */
static int character_get(void *el, wchar_t *out) {
  (void)el;
  mbstate_t state;
  memset(&state, 0, sizeof state);
  for (;;) {
    unsigned char byte;
    if (!byte_wait()) return -1;
    ssize_t n = read(STDIN_FILENO, &byte, 1);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (n <= 0) return (int)n;
    size_t used = mbrtowc(out, (const char *)&byte, 1, &state);
    if (used == (size_t)-2) continue;    /* more bytes to come */
    if (used == (size_t)-1) *out = L'?'; /* no character of this locale */
    if (used == 0) *out = L'\0';
    return 1;
  }
}

static const char *prompt_get(void *el) {
  (void)el;
  return line.prompt;
}

static bool symbol_find(void *library, const char *name, void *function) {
  void *symbol = dlsym(library, name);
  memcpy(function, &symbol, sizeof symbol); /* ISO C has no cast from object to function */
  return symbol != NULL;
}

static bool library_open(editor *e) {
  static const char *const names[] = {"libedit.so.2", "libedit.so.0"};
  for (size_t i = 0; i < sizeof names / sizeof names[0] && e->library == NULL; i++)
    e->library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
  void *l = e->library;
  return l && symbol_find(l, "el_init", &e->el_init) && symbol_find(l, "el_end", &e->el_end) &&
         symbol_find(l, "el_set", &e->el_set) && symbol_find(l, "el_source", &e->el_source) &&
         symbol_find(l, "el_gets", &e->el_gets) &&
         symbol_find(l, "history_init", &e->history_init) &&
         symbol_find(l, "history_end", &e->history_end) && symbol_find(l, "history", &e->history);
}

/* locale_choose: libedit reads characters, not bytes, so the locale has to know some; without one
 * from the environment UTF-8 is the best guess. */
static void locale_choose(void) {
  if (setlocale(LC_CTYPE, "") == NULL || MB_CUR_MAX == 1) setlocale(LC_CTYPE, "C.UTF-8");
}

static bool editor_open(editor *e) {
  hist_event event;
  if (!library_open(e)) return false;
  locale_choose();
  e->el = e->el_init("luamp", stdin, stdout, stderr);
  e->hist = e->history_init();
  if (e->el == NULL || e->hist == NULL) return false;
  e->history(e->hist, &event, H_SETSIZE, HISTORY_SIZE);
  e->history(e->hist, &event, H_SETUNIQUE, 1);
  e->el_set(e->el, EL_EDITOR, "emacs");
  e->el_set(e->el, EL_SIGNAL, 1);
  e->el_set(e->el, EL_PROMPT, prompt_get);
  e->el_set(e->el, EL_HIST, e->history, e->hist);
  e->el_set(e->el, EL_GETCFN, character_get);
  e->el_set(e->el, EL_BIND, "^I", "ed-insert", (char *)NULL); /* pasted code has tabs */
  e->el_source(e->el, NULL);                                  /* ~/.editrc */
  return true;
}

static void editor_close(editor *e) {
  if (e->el) e->el_end(e->el);
  if (e->hist) e->history_end(e->hist);
  memset(e, 0, sizeof *e); /* the library stays: what it registered with others is not undone */
}

void line_open(void) {
  line.echo = !isatty(STDIN_FILENO);
  if (line.echo || !isatty(STDOUT_FILENO)) return;
  if (!editor_open(&line.editor)) editor_close(&line.editor);
}

/* A prompt or line that memory is too short for is as good as the end of input. */
static bool text_set(char **text, const char *from, size_t len) {
  char *copy = realloc(*text, len + 1);
  if (copy == NULL) return false;
  memcpy(copy, from, len);
  copy[len] = '\0';
  *text = copy;
  return true;
}

/* edited_read: the length of the line in line.text, or -1. */
static ssize_t edited_read(const char *prompt) {
  int n = 0;
  if (!text_set(&line.prompt, prompt, strlen(prompt))) return -1;
  const char *text = line.editor.el_gets(line.editor.el, &n);
  if (text == NULL || n <= 0 || line.interrupted) return -1;
  return text_set(&line.text, text, (size_t)n) ? n : -1;
}

/* typed_read: as edited_read, from a terminal without libedit. Reads the descriptor, as libedit
 * does: what a script left in stdin's buffer is the script's. The terminal gives whole lines. */
static ssize_t typed_read(void) {
  size_t n = 0;
  for (;;) {
    if (n + 2 > line.size) {
      char *more = realloc(line.text, n + 512);
      if (more == NULL) return -1;
      line.text = more;
      line.size = n + 512;
    }
    if (!byte_wait()) return -1;
    ssize_t got = read(STDIN_FILENO, line.text + n, line.size - n - 1);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got > 0) n += (size_t)got;
    if (got <= 0 || line.text[n - 1] == '\n') break;
  }
  line.text[n] = '\0';
  return (ssize_t)n;
}

/* fed_read: as edited_read, from a file or pipe. What was read is shown, as lua5.4 does: the
 * session reads like one at a terminal. */
static ssize_t fed_read(void) {
  ssize_t n = getline(&line.text, &line.size, stdin);
  if (n <= 0) return n;
  fwrite(line.text, 1, (size_t)n - (line.text[n - 1] == '\n'), stdout);
  putchar('\n');
  fflush(stdout);
  return n;
}

static ssize_t prompted_read(const char *prompt) {
  if (line.editor.el) return edited_read(prompt);
  fputs(prompt, stdout);
  fflush(stdout);
  return line.echo ? fed_read() : typed_read();
}

line_result line_read(const char *prompt, const char **text, size_t *len) {
  sigset_t interrupt;
  sigemptyset(&interrupt);
  sigaddset(&interrupt, SIGINT);
  line.interrupted = 0;
  fflush(stdout);
  if (!line.echo) sigprocmask(SIG_BLOCK, &interrupt, &line.outside);
  ssize_t n = prompted_read(prompt);
  if (!line.echo) sigprocmask(SIG_SETMASK, &line.outside, NULL);
  if (n <= 0) {
    putchar('\n');
    fflush(stdout);
    return line.interrupted ? LINE_INTERRUPTED : LINE_END;
  }
  if (line.text[n - 1] == '\n') line.text[--n] = '\0';
  *text = line.text;
  *len = (size_t)n;
  return LINE_READ;
}

void line_remember(const char *text) {
  hist_event event;
  if (line.editor.hist && text[0] != '\0')
    line.editor.history(line.editor.hist, &event, H_ENTER, text);
}

void line_close(void) {
  editor_close(&line.editor);
  free(line.text);
  free(line.prompt);
  line.text = NULL;
  line.prompt = NULL;
  line.size = 0;
}

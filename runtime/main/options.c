/* main/options.c: the command line of the luamp executable.
 * SPDX-License-Identifier: MIT */

#include "main/options.h"

#include <lua.h>
#include <luamp.h>
#include <stdio.h>
#include <string.h>

/* Long options. Those with a value take it after '=' only: a separate word would be read as the
 * script's name by anybody who knows lua5.4. */
typedef struct long_option {
  const char *name;
  bool wants_value;
  options_action action;
} long_option;

static const long_option long_options[] = {
    {"--memory", true, OPTIONS_RUN},       {"--start-method", true, OPTIONS_RUN},
    {"--version", false, OPTIONS_VERSION}, {"--help", false, OPTIONS_HELP},
    {"--ps", false, OPTIONS_ABSENT},       {"--top", false, OPTIONS_ABSENT},
    {"--trace", false, OPTIONS_ABSENT},    {"--trace", true, OPTIONS_ABSENT},
};

static const char option_list[] =
    "usage: %s [options] [script [args]]\n"
    "Available options are:\n"
    "  -e stat   execute string 'stat'\n"
    "  -i        enter interactive mode after executing 'script'\n"
    "  -l mod    require library 'mod' into global 'mod'\n"
    "  -l g=mod  require library 'mod' into global 'g'\n"
    "  -v        show version information\n"
    "  -E        ignore environment variables\n"
    "  -W        turn warnings on\n"
    "  --        stop handling options\n"
    "  -         stop handling options and execute stdin\n"
    "  --memory=SIZE     limit the shared memory of all processes (as 512M or 4G)\n"
    "  --start-method=M  start processes by 'fork', 'spawn' or 'forkserver'\n"
    "  --version         show the versions of luamp and Lua\n"
    "  --help            show this list\n";

static bool name_is(const char *word, const char *name, size_t len) {
  return strlen(name) == len && strncmp(word, name, len) == 0;
}

/* long_find: the entry for `word`; *value is what follows the '='. */
static const long_option *long_find(const char *word, const char **value) {
  const char *equals = strchr(word, '=');
  size_t len = equals ? (size_t)(equals - word) : strlen(word);
  for (size_t i = 0; i < sizeof long_options / sizeof long_options[0]; i++) {
    const long_option *l = &long_options[i];
    if (l->wants_value == (equals != NULL) && name_is(word, l->name, len)) {
      *value = equals ? equals + 1 : "";
      return l;
    }
  }
  return NULL;
}

/* long_take: the word at `i`, which begins with "--" and is longer. False ends the parsing. */
static bool long_take(options *o, char *const *argv, int i) {
  const char *value = "";
  const long_option *l = long_find(argv[i], &value);
  o->culprit = i;
  if (l == NULL || (l->action == OPTIONS_RUN && value[0] == '\0')) {
    o->action = OPTIONS_BAD;
    return false;
  }
  o->action = l->action;
  if (l->action != OPTIONS_RUN) return false;
  if (strcmp(l->name, "--memory") == 0) {
    o->memory = value;
  } else {
    o->start_method = value;
  }
  return true;
}

/* short_take: the option at *i, which moves to its last word. False when it is a bad one. */
static bool short_take(options *o, char *const *argv, int *i) {
  const char *word = argv[*i];
  char letter = word[1];
  o->culprit = *i;
  if (letter == 'e' || letter == 'l') {
    o->has_code = o->has_code || letter == 'e';
    if (word[2] != '\0') return true;
    const char *next = argv[*i + 1];
    if (next == NULL || next[0] == '-') return false;
    ++*i;
    return true;
  }
  if (letter == '\0' || strchr("ivEW", letter) == NULL || word[2] != '\0') return false;
  o->interactive = o->interactive || letter == 'i';
  o->banner = o->banner || letter == 'i' || letter == 'v';
  o->no_environment = o->no_environment || letter == 'E';
  return true;
}

void options_parse(options *o, int argc, char *const *argv) {
  *o = (options){.action = OPTIONS_RUN};
  int i = 1;
  for (; i < argc; i++) {
    const char *word = argv[i];
    if (word[0] != '-' || word[1] == '\0') break;
    if (word[1] == '-') {
      if (word[2] == '\0') {
        i++;
        break;
      }
      if (!long_take(o, argv, i)) return;
    } else if (!short_take(o, argv, &i)) {
      o->action = OPTIONS_BAD;
      return;
    }
  }
  o->script = i < argc ? i : argc;
}

/* wants_argument: true for an option that is right but for its missing argument. */
static bool wants_argument(const char *word) {
  if (word[1] == 'e' || word[1] == 'l') return true;
  size_t len = strcspn(word, "=");
  return name_is(word, "--memory", len) || name_is(word, "--start-method", len);
}

void options_usage(const char *progname, const char *culprit) {
  const char *format =
      wants_argument(culprit) ? "%s: '%s' needs argument\n" : "%s: unrecognized option '%s'\n";
  fprintf(stderr, format, progname, culprit);
  fprintf(stderr, option_list, progname);
}

void options_help(const char *progname) {
  printf(option_list, progname);
  fflush(stdout);
}

void options_version(void) {
  printf("luamp " LUAMP_VERSION "\n%s\n", LUA_COPYRIGHT);
  fflush(stdout);
}

void options_banner(void) {
  printf("%s\n", LUA_COPYRIGHT);
  fflush(stdout);
}

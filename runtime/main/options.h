/* main/options.h: the command line of the luamp executable.
 * SPDX-License-Identifier: MIT */
#ifndef LMP_MAIN_OPTIONS_H
#define LMP_MAIN_OPTIONS_H

#include <stdbool.h>

typedef enum options_action {
  OPTIONS_RUN,     /* run what the command line says */
  OPTIONS_BAD,     /* usage to stderr, status 1 */
  OPTIONS_VERSION, /* --version */
  OPTIONS_HELP,    /* --help */
  OPTIONS_ABSENT   /* an option that this version knows but does not have yet */
} options_action;

typedef struct options {
  options_action action;
  int culprit;              /* index of the option that BAD or ABSENT is about */
  int script;               /* index of the script's name, argc when there is none */
  bool interactive;         /* -i */
  bool banner;              /* -v or -i */
  bool no_environment;      /* -E */
  bool has_code;            /* some -e */
  const char *memory;       /* the value of --memory, or NULL; borrows from argv */
  const char *start_method; /* the value of --start-method, or NULL; borrows from argv */
} options;

/* options_parse: reads argv up to the script's name into *o. Allocates nothing, prints nothing,
 * changes nothing in argv. */
void options_parse(options *o, int argc, char *const *argv);

/* options_usage: what is wrong with `culprit` and the list of options, to stderr. */
void options_usage(const char *progname, const char *culprit);

/* options_help: the list of options, to stdout. */
void options_help(const char *progname);

/* options_version: luamp's version and Lua's, to stdout. */
void options_version(void);

/* options_banner: the line that lua5.4 -v prints, to stdout. */
void options_banner(void);

#endif

/* main/line.h: reading lines for the interactive mode.
 * SPDX-License-Identifier: MIT */
#ifndef LMP_MAIN_LINE_H
#define LMP_MAIN_LINE_H

#include <stddef.h>

typedef enum line_result { LINE_READ, LINE_END, LINE_INTERRUPTED } line_result;

/* line_open: prepares standard input: on a terminal with libedit, if the machine has it; else
 * lines come as the terminal, file or pipe gives them. Never fails. */
void line_open(void);

/* line_read: shows `prompt` and waits for a line: *line is lent until the next call and ends with
 * '\0', not with a newline; *len is its length. LINE_END at the end of input, LINE_INTERRUPTED
 * after SIGINT; both leave the cursor on a new line. */
line_result line_read(const char *prompt, const char **line, size_t *len);

/* line_remember: adds `text` to the history, which lasts as long as the process. */
void line_remember(const char *text);

/* line_close: gives the terminal back as it was. */
void line_close(void);

#endif

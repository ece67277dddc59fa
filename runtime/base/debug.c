/* base/debug.c: lmp_panic.
 * SPDX-License-Identifier: MIT */
#include "base/debug.h"

#include <stdio.h>
#include <stdlib.h>

void lmp_panic(const char *file, int line, const char *what) {
  fprintf(stderr, "luamp: %s:%d: %s does not hold\n", file, line, what);
  abort();
}

/* os/linux.h: what the Linux files of os/ share, and switches for tests.
 * SPDX-License-Identifier: MIT */
#ifndef LMP_OS_LINUX_H
#define LMP_OS_LINUX_H

#include <time.h>

#include "base/defs.h"

/* lmp_linux_timespec: nanoseconds as a timespec. */
struct timespec lmp_linux_timespec(uint64_t ns);

/* lmp_linux_refuse_waitv: behaves as if the system refused futex_waitv (or no longer so). */
void lmp_linux_refuse_waitv(bool refuse);

/* lmp_linux_read_file: reads a small file as text into buf, cut to cap - 1 bytes; false when it cannot
 * be read. */
bool lmp_linux_read_file(const char *path, char *buf, size_t cap);

#endif

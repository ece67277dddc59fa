/* A reaper's wake of an abandoned lock is not made again: see user_lock.pml. SPDX-License-Identifier: MIT */
/* args: -DSAFETY -DCOLLAPSE -DNOFAIR -E -m200000 -w22 */
/* expect: errors */
#define WAKE_ONCE
#define MAX_REAPERS 1
#define TWO_WAIT
#include "user_lock.pml"

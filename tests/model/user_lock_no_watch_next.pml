/* A sleeper at a free, reserved lock does not see the turn change: see user_lock.pml. SPDX-License-Identifier: MIT */
/* args: -DSAFETY -DCOLLAPSE -DNOFAIR -E -m200000 -w22 */
/* expect: errors */
#define NO_WATCH_NEXT
#define MAX_QUITS 1
#define TWO_WAIT
#include "user_lock.pml"

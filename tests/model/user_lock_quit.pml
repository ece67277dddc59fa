/* Waits end by themselves: see user_lock.pml. SPDX-License-Identifier: MIT */
/* args: -DSAFETY -DCOLLAPSE -DNOFAIR -E -m200000 -w22 */
#define MAX_QUITS 1
#define TWO_WAIT
#include "user_lock.pml"

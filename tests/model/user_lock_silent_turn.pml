/* Who gives its turn up wakes nobody: see user_lock.pml. SPDX-License-Identifier: MIT */
/* args: -DSAFETY -DCOLLAPSE -DNOFAIR -E -m200000 -w22 */
/* expect: errors */
#define SILENT_TURN
#define MAX_QUITS 1
#define TWO_WAIT
#include "user_lock.pml"

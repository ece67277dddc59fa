/* The reaper leaves the turn of the dead: see user_lock.pml. SPDX-License-Identifier: MIT */
/* args: -DSAFETY -DCOLLAPSE -DNOFAIR -E -m200000 -w22 */
/* expect: errors */
#define KEEP_TURN
#include "user_lock.pml"

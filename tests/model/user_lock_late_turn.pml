/* The reaper wakes, then takes the turn away: see user_lock.pml. SPDX-License-Identifier: MIT */
/* args: -DSAFETY -DCOLLAPSE -DNOFAIR -E -m200000 -w22 */
/* expect: errors */
#define LATE_TURN
#include "user_lock.pml"

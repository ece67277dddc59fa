/* The turn that is slept on is not the one that was seen: see user_lock.pml. SPDX-License-Identifier: MIT */
/* args: -DSAFETY -DCOLLAPSE -DNOFAIR -E -m200000 -w22 */
/* expect: errors */
#define LATE_LOOK
#include "user_lock.pml"

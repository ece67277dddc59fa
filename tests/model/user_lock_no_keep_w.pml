/* Who slept takes the lock without W: see user_lock.pml. SPDX-License-Identifier: MIT */
/* args: -DSAFETY -DCOLLAPSE -DNOFAIR -E -m200000 -w22 */
/* expect: errors */
#define NO_KEEP_W
#include "user_lock.pml"

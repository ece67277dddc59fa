/* A dead waiter leaves the lock abandoned: see user_lock.pml. SPDX-License-Identifier: MIT */
/* args: -DSAFETY -DCOLLAPSE -DNOFAIR -E -m200000 -w22 */
/* expect: errors */
#define WAITER_ABANDONS
#include "user_lock.pml"

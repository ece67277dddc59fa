/* Who was woken sleeps again without W: see user_lock.pml. SPDX-License-Identifier: MIT */
/* args: -DSAFETY -DCOLLAPSE -DNOFAIR -E -m200000 -w22 */
/* expect: errors */
#define NO_W_BACK
#include "user_lock.pml"

/* The reaper wakes nobody for cx_pwake: see user_lock.pml. SPDX-License-Identifier: MIT */
/* args: -DSAFETY -DCOLLAPSE -DNOFAIR -E -m200000 -w22 */
/* expect: errors */
#define NO_PWAKE
#include "user_lock.pml"

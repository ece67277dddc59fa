/* Who leaves does not look for waiters: see barrier.pml. SPDX-License-Identifier: MIT */
/* args: -DSAFETY -E -DCOLLAPSE -w24 -m100000 */
/* expect: errors */
#define NO_VACANCY
#define PARTIES 2
#define CALLS 2
#define EVENTS 1
#include "barrier.pml"

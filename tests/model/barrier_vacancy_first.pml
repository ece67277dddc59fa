/* Who leaves looks for waiters, then leaves: see barrier.pml. SPDX-License-Identifier: MIT */
/* args: -DSAFETY -E -DCOLLAPSE -w24 -m100000 */
/* expect: errors */
#define VACANCY_FIRST
#define PARTIES 2
#define CALLS 2
#define EVENTS 1
#include "barrier.pml"

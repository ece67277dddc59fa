/* A place is taken by one whose attempt is over: see barrier.pml. SPDX-License-Identifier: MIT */
/* args: -DSAFETY -E -DCOLLAPSE -w24 -m100000 */
/* expect: errors */
#define STALE_TAKE
#define PARTIES 3
#define CALLS 1
#define EVENTS 1
#define RESET_ONLY
#include "barrier.pml"

/* The reaper wakes only if it broke: see barrier.pml. SPDX-License-Identifier: MIT */
/* args: -DSAFETY -E -DCOLLAPSE -w24 -m100000 */
/* expect: errors */
#define REAP_QUIET
#define PARTIES 2
#define CALLS 1
#define EVENTS 2
#include "barrier.pml"

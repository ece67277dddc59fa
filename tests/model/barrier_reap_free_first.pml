/* The reaper frees the place, then breaks: see barrier.pml. SPDX-License-Identifier: MIT */
/* args: -DSAFETY -E -DCOLLAPSE -w24 -m100000 */
/* expect: errors */
#define REAP_FREE_FIRST
#define PARTIES 2
#define CALLS 2
#define EVENTS 2
#include "barrier.pml"

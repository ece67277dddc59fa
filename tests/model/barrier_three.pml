/* Three parties for two places, and a reset: see barrier.pml. SPDX-License-Identifier: MIT */
/* args: -DSAFETY -E -DCOLLAPSE -w24 -m100000 */
#define PARTIES 3
#define CALLS 1
#define EVENTS 1
#define RESET_ONLY
#include "barrier.pml"

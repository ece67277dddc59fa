/* Two things happen in one round: see barrier.pml. SPDX-License-Identifier: MIT */
/* args: -DSAFETY -E -DCOLLAPSE -w24 -m100000 */
#define PARTIES 2
#define CALLS 1
#define EVENTS 2
#include "barrier.pml"

/* Who waits for a place does not look at it again: see barrier.pml. SPDX-License-Identifier: MIT */
/* args: -DSAFETY -E -DCOLLAPSE -w24 -m100000 */
/* expect: errors */
#define NO_LOOK
#define PARTIES 2
#define CALLS 2
#define EVENTS 1
#include "barrier.pml"

/* A party whose round was completed comes again: see barrier.pml. SPDX-License-Identifier: MIT */
/* args: -DSAFETY -E -DCOLLAPSE -w24 -m100000 */
/* expect: errors */
#define COME_AGAIN
#define PARTIES 2
#define CALLS 2
#define EVENTS 1
#include "barrier.pml"

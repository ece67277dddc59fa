/* A place left is no turn: the word may be again what it was: see barrier.pml. SPDX-License-Identifier: MIT */
/* args: -DSAFETY -E -DCOLLAPSE -w24 -m100000 */
/* expect: errors */
#define NO_TURN
#define PARTIES 3
#define CALLS 1
#define EVENTS 1
#define RESET_ONLY
#include "barrier.pml"

/* Wakes are not announced: see barrier.pml. SPDX-License-Identifier: MIT */
/* args: -DSAFETY -E -DCOLLAPSE -w24 -m100000 */
/* expect: errors */
#define NO_OWE
#define PARTIES 2
#define CALLS 1
#define EVENTS 2
#include "barrier.pml"

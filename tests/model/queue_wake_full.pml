/* A queue for one message, so that putters sleep: see queue_wake.pml. SPDX-License-Identifier: MIT */
/* args: -DSAFETY -DCOLLAPSE -DNOFAIR -m200000 -w25 -E */
#define CAP 1
#define KILLS 0
#define TIMEOUTS 0
#define G0 1
#define G1 1
#define P2 2
#define P3 1
#include "queue_wake.pml"

/* A queue for one message, putters sleep, one is killed: see queue_wake.pml. SPDX-License-Identifier: MIT */
/* args: -DSAFETY -DCOLLAPSE -DNOFAIR -m200000 -w25 -E */
#define CAP 1
#define KILLS 1
#define TIMEOUTS 0
#define G0 2
#define G1 0
#define P2 1
#define P3 1
#include "queue_wake.pml"

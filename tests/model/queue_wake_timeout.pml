/* Getters that time out: see queue_wake.pml. SPDX-License-Identifier: MIT */
/* args: -DSAFETY -DCOLLAPSE -DNOFAIR -m200000 -w25 -E */
#define CAP 3
#define KILLS 0
#define TIMEOUTS 2
#define G0 2
#define G1 1
#define P2 1
#define P3 1
#include "queue_wake.pml"

/* expect: errors */
/* A mutant of queue_wake.pml, see there. SPDX-License-Identifier: MIT */
/* args: -DSAFETY -DCOLLAPSE -DNOFAIR -m200000 -w25 -E */
#define LATE_LOOK
#include "queue_wake.pml"

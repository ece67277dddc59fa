/* The bit is taken out after the ring: see bell.pml. SPDX-License-Identifier: MIT */
/* args: -DSAFETY -E */
/* expect: errors */
#define RING_FIRST
#include "bell.pml"

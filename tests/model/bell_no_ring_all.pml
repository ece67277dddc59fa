/* A reaper rings nobody: see bell.pml. SPDX-License-Identifier: MIT */
/* args: -DSAFETY -E */
/* expect: errors */
#define NO_RING_ALL
#include "bell.pml"

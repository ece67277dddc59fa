/* The owner looks before it arms: see bell.pml. SPDX-License-Identifier: MIT */
/* args: -DSAFETY -E */
/* expect: errors */
#define LOOK_FIRST
#include "bell.pml"

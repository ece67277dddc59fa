/* The bell is emptied without a fence: see bell.pml. SPDX-License-Identifier: MIT */
/* args: -DSAFETY -E */
/* expect: errors */
#define NO_FENCE
#include "bell.pml"

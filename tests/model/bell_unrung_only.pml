/* A reaper leaves a bell that is rung: see bell.pml. SPDX-License-Identifier: MIT */
/* args: -DSAFETY -E */
/* expect: errors */
#define UNRUNG_ONLY
#include "bell.pml"

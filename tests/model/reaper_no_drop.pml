/* expect: errors */
/* A mutant of reaper.pml, see there. SPDX-License-Identifier: MIT */
/* args: -DSAFETY -DCOLLAPSE -DNOFAIR -m200000 -w22 */
#define NO_DROP
#include "reaper.pml"

/* expect: errors */
/* A mutant of runs.pml, see there. SPDX-License-Identifier: MIT */
/* args: -DSAFETY -DCOLLAPSE -DNOFAIR -m200000 -w22 */
#define NO_SECOND
#include "runs.pml"

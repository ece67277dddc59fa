/* expect: errors */
/* A mutant of attach.pml, see there. SPDX-License-Identifier: MIT */
/* args: -DSAFETY -DCOLLAPSE -DNOFAIR -m200000 -w22 */
#define NO_BURY
#include "attach.pml"

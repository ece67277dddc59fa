/* expect: errors */
/* A mutant of attach.pml, see there. SPDX-License-Identifier: MIT */
/* args: -DSAFETY -DCOLLAPSE -DNOFAIR -m200000 -w22 */
#define GIVE_LATE
#include "attach.pml"

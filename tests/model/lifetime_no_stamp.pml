/* expect: errors */
/* A mutant of lifetime.pml, see there. SPDX-License-Identifier: MIT */
/* args: -DSAFETY -DCOLLAPSE -DNOFAIR -m200000 -w22 */
#define NO_STAMP
#include "lifetime.pml"

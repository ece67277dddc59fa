/* expect: errors */
/* A mutant of lock.pml, see there. SPDX-License-Identifier: MIT */
/* args: -DSAFETY -DCOLLAPSE -DNOFAIR -m200000 -w25 */
#define NO_WANT
#include "lock.pml"

/* A sleeper queues on the word, then on lk_next: see user_lock.pml. SPDX-License-Identifier: MIT */
/* args: -DSAFETY -DCOLLAPSE -DNOFAIR -E -m200000 -w22 */
/* expect: errors */
#define WORD_FIRST
#include "user_lock.pml"

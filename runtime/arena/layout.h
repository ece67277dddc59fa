/* arena/layout.h: what lies in the shared memory of a family.
 * SPDX-License-Identifier: MIT
 *
 *   header | processes | contexts | bells | objects | span map | tags | spans of 64 KiB ...
 *
 * Everything is named by offset from the start; each process maps the arena where it likes. The tables
 * are type-stable: a slot is never anything else, so a late look at an old name reads a slot of the
 * same kind and is told by the generation. Fixed widths only, every field has its owner in a comment.
 * Words that a thread may sleep on, and lock words, all lie in the tables, below 4 GiB, so that 32 bits
 * name them. */
#ifndef LMP_ARENA_LAYOUT_H
#define LMP_ARENA_LAYOUT_H

#include "base/defs.h"
#include "os/os.h"

#define LMP_MAGIC UINT64_C(0x31616d70616d756c) /* "lumap ma1", little endian */
#define LMP_FORMAT 4                           /* grows with every change of this file */

#define LMP_PAGE 4096u
#define LMP_SPAN_BITS 16
#define LMP_SPAN (1u << LMP_SPAN_BITS)
#define LMP_BLOCK_MIN 64u
#define LMP_TAGS \
  (LMP_SPAN / LMP_BLOCK_MIN) /* tags per span: one for each block of the least size */

#define LMP_PROC_MAX 512u /* bits in ob_holders */
#define LMP_CTX_MAX 1024u /* ids must fit the 15 bits of a tag */
#define LMP_HOLDER_WORDS (LMP_PROC_MAX / 64)
#define LMP_CLASSES 18

/* -- header ------------------------------------------------------------------------------------- */

typedef struct lmp_hdr {
  uint64_t hd_magic;
  uint32_t hd_format;
  uint32_t hd_image; /* not used across images yet: zero */
  uint64_t hd_size;
  uint32_t hd_nproc, hd_nctx, hd_nobj, hd_nspan;
  uint64_t hd_proc_off, hd_ctx_off, hd_obj_off, hd_map_off, hd_tag_off, hd_span_off;
  uint64_t hd_key[2]; /* random; part of the names of this family's sockets */
  uint64_t hd_bell_off;
  uint32_t hd_nbell;
  uint32_t hd_pad0[3];

  /* Runs of spans; written under hd_run_lock. */
  uint32_t hd_run_lock;
  uint32_t hd_span_hwm; /* spans from here on were never used */
  uint32_t hd_run_hint; /* no free run starts below; only a hint, anyone may lower it */
  uint32_t hd_dirty;    /* free spans that still have pages; only a hint, atomically counted */
  uint32_t hd_sweep;    /* where the next look for empty spans starts; only a hint */
  uint32_t hd_pad1[11];

  /* Who waits for memory: the word to sleep on, and a flag that there are sleepers. */
  uint32_t hd_mem_seq;
  uint32_t hd_pad2;
  uint64_t hd_mem_flag; /* see lmp_flag_raise */
  uint32_t hd_pad5[12];

  /* Tables: slots from hwm on were never used (only grow); hints where to look for a free one. */
  uint32_t hd_obj_hwm, hd_obj_hint;
  uint32_t hd_ctx_hwm, hd_proc_hwm;
  uint32_t hd_orphans; /* there may be dying objects that nobody destroys; only a hint */
  uint32_t hd_look;    /* 0: no context has a cx_look; see lmp_abandon */
  uint32_t hd_bell_hwm;
  uint32_t hd_pad3[9];

  /* Collector of objects that are held by nobody but may be named by a message. */
  uint32_t hd_gc_lock;
  uint32_t hd_gc_epoch; /* written under hd_gc_lock; from 1 */
  uint32_t hd_gc_debt;  /* objects dropped since the last run; only a hint */
  uint32_t
      hd_gc_scan; /* object that the collector looks through; its slot is not to be made anew */
  uint32_t hd_gc_verdict; /* epoch whose unneeded objects are to go, 0: none; under hd_gc_lock */
  uint32_t hd_gc_asked;   /* grows when a collection is wanted at once */
  uint32_t hd_gc_done;    /* hd_gc_asked as it was before the last whole collection */
  uint32_t hd_gc_flight;  /* 0: no object with an end that is seen is named by a message only */
  uint32_t hd_pad4[8];

  uint32_t hd_class_hint[LMP_CLASSES]; /* first span of the class that may have room; only hints */
} lmp_hdr;

_Static_assert(offsetof(lmp_hdr, hd_run_lock) == 128, "cache lines");
_Static_assert(offsetof(lmp_hdr, hd_mem_seq) == 192, "cache lines");
_Static_assert(offsetof(lmp_hdr, hd_obj_hwm) == 256, "cache lines");
_Static_assert(offsetof(lmp_hdr, hd_gc_lock) == 320, "cache lines");
_Static_assert(sizeof(lmp_hdr) <= LMP_PAGE, "the header is one page");

/* -- processes ---------------------------------------------------------------------------------- */

enum { LMP_PROC_FREE, LMP_PROC_STARTING, LMP_PROC_ALIVE, LMP_PROC_DEAD };
/* With the state in one word: the generation, which grows when the slot is freed. */
#define LMP_PROC_WORD(state, gen) ((uint32_t)(state) | (uint32_t)(gen) << 8)

/* Who reaps a process or a context: the context id, 0 none, and how often that changed. The count tells
 * the claim of a dead reaper from that of a live one that came into its slot. */
#define LMP_CLAIM_ID(word) ((word)&0xffffu)
#define LMP_CLAIM_NEXT(word, id) (((word)&0xffff0000u) + 0x10000u + (uint32_t)(id))

typedef struct lmp_proc {
  uint32_t pr_state; /* LMP_PROC_WORD; changes by CAS */
  uint32_t pr_pad;
  uint32_t pr_creator;       /* slot of the process that starts it (STARTING) */
  uint32_t pr_reaper;        /* who reaps it, see LMP_CLAIM_ID */
  uint64_t pr_pid, pr_start; /* pr_start: it had started at that boot time */
  uint64_t pr_since;         /* when STARTING began, monotonic ns */
  lmp_handle pr_obj;         /* its process object */
  lmp_handle pr_parent;      /* the process object of its parent; {0,0}: none */
  uint32_t pr_detached;      /* its end does not depend on its parent's */
  uint32_t pr_suspect;       /* boot seconds at which a context of it was found dead; only a hint */
} lmp_proc;
_Static_assert(sizeof(lmp_proc) == 64, "one line each");

/* -- contexts: one for each attached thread ------------------------------------------------------ */

enum { LMP_CTX_FREE, LMP_CTX_TAKING, LMP_CTX_LIVE };
#define LMP_CTX_STATE(state, proc) ((uint32_t)(state) | (uint32_t)(proc) << 8)

#define LMP_WANTS 4   /* nested internal locks */
#define LMP_PWAKES 6  /* wakes owed: one for each lock, two for the operation */
#define LMP_TX_MAX 32 /* words one transaction may change */
#define LMP_WAIT_MAX 128
#define LMP_LOOKS UINT32_MAX

typedef struct lmp_txent {
  uint64_t tx_off; /* offset << 2 | log2(width) - 1 */
  uint64_t tx_val;
} lmp_txent;

typedef struct lmp_ctx {
  lmp_life cx_life;   /* held by the thread; see os.h */
  uint32_t cx_state;  /* LMP_CTX_STATE; changes by CAS */
  uint32_t cx_reaper; /* who reaps it, see LMP_CLAIM_ID */
  uint32_t cx_serial; /* grows whenever a thread takes it: with the id, a name that stays unique */
  uint32_t cx_owns;   /* it may own something in an object; the owner's, a hint that stays */
  uint32_t cx_pad0[2];

  /* From here on written by the owner, and by its reaper. Words are named by offset. */
  uint32_t cx_want[LMP_WANTS];   /* internal locks it holds or is about to take */
  uint32_t cx_pwake[LMP_PWAKES]; /* words whose sleepers it has to wake */
  uint32_t cx_txn;               /* entries of a committed transaction, 0: none */
  uint32_t cx_wait_n;            /* words it sleeps on, or slept on and has not acted yet */
  uint32_t cx_wait_obj;          /* the object it waits for, for people */
  uint32_t cx_wait_flags;        /* bit 0: with a deadline */
  uint32_t cx_look;              /* object that it looks at in lmp_abandon; LMP_LOOKS: at another */
  uint32_t cx_cond;              /* the condition it waits for, and its state there; slept on */
  lmp_txent cx_tx[LMP_TX_MAX];
  uint32_t cx_wait_word[LMP_WAIT_MAX];
  uint32_t cx_pad2[256 - 8 * 16 - 32];
} lmp_ctx;
_Static_assert(offsetof(lmp_ctx, cx_want) == 64, "cache lines");
_Static_assert(offsetof(lmp_ctx, cx_tx) == 128, "cache lines");
_Static_assert(sizeof(lmp_ctx) % LMP_CACHELINE == 0, "whole lines");

/* -- bells: see bell.c --------------------------------------------------------------------------- */

#define LMP_BELL_MAX 1024u
/* be_word: the bell was rung since its owner last emptied it; how the owner waits, if it does. */
#define LMP_BELL_RUNG 1u
#define LMP_BELL_FUTEX 2u  /* sleeps on be_word */
#define LMP_BELL_SOCKET 4u /* has the socket of lmp_os_bell_open among the descriptors it polls */

typedef struct lmp_bell {
  uint32_t be_owner; /* process slot + 1, 0: free; changes by CAS */
  uint32_t be_gen;   /* grows with each owner */
  uint32_t be_word;  /* emptied by the owner, rung by anybody */
  uint32_t be_pad[13];
} lmp_bell;
_Static_assert(sizeof(lmp_bell) == LMP_CACHELINE, "one line each");

/* -- objects ------------------------------------------------------------------------------------ */

enum { LMP_OBJ_FREE, LMP_OBJ_NEW, LMP_OBJ_LIVE, LMP_OBJ_DYING };
#define LMP_OBJ_STATE(state, id) ((uint32_t)(state) | (uint32_t)(id) << 8)

typedef enum lmp_kind_id {
  LMP_KIND_NONE,
  LMP_KIND_PROCESS,
  LMP_KIND_QUEUE,
  LMP_KIND_LOCK,
  LMP_KIND_RLOCK,
  LMP_KIND_CONDITION,
  LMP_KIND_SEMAPHORE,
  LMP_KIND_BOUNDED,
  LMP_KIND_EVENT,
  LMP_KIND_BARRIER,
  LMP_KIND_VALUE,
  LMP_KIND_ARRAY,
  LMP_KIND_SHARED,
  LMP_KIND_STREAM,     /* a queue inside of a pipe */
  LMP_KIND_CONNECTION, /* an end of a pipe */
  LMP_KIND_LARGE,      /* a large value of a dict or a list; no script sees it */
  LMP_KIND_DICT,
  LMP_KIND_NAMESPACE,
  LMP_KIND_LIST,
  LMP_KIND_COUNT
} lmp_kind_id;

#define LMP_OBJ_BODY 384
#define LMP_NAME_SHORT 20

typedef struct lmp_obj {
  uint32_t ob_state; /* LMP_OBJ_STATE: with the context id of who makes or destroys it */
  uint32_t ob_gen;   /* grows when the slot is freed; from 1 */
  uint32_t ob_kind;
  uint32_t ob_lock; /* destroying it, against taking hold of it again */
  uint32_t ob_sent; /* epoch of the collector when a message last named it, 0: never */
  uint32_t ob_mark; /* epoch in which the collector found it named */
  uint32_t ob_scan; /* epoch in which the collector looked through it */
  uint32_t ob_pad0;
  uint64_t ob_name; /* block with the text of a name that does not fit ob_short, 0: none */
  uint32_t ob_namelen;
  char ob_short[LMP_NAME_SHORT];
  uint64_t ob_holders[LMP_HOLDER_WORDS]; /* a bit for each process with a handle */
  uint8_t ob_body[LMP_OBJ_BODY];         /* by kind: lmp_queue, lmp_process, ... */
} lmp_obj;
_Static_assert(offsetof(lmp_obj, ob_holders) == 64, "cache lines");
_Static_assert(sizeof(lmp_obj) == 512, "eight lines each");

/* -- spans -------------------------------------------------------------------------------------- */

enum {
  LMP_SPAN_FREE,  /* head of a free run; its class is 1 when all its pages are there (dirty) */
  LMP_SPAN_SMALL, /* carved into blocks of one class, each with a tag */
  LMP_SPAN_LARGE  /* head of a run that is one block; the owner stands here */
};

/* A span map word: state:8 | class:8 | owner:16 | length of the run in spans:32. Only the words of run
 * heads mean anything. The owner of a block is 0 (free), a context id, or LMP_TAG_SHARED (reachable from an
 * object); a tag is the same for a block of a SMALL span. */
#define LMP_TAG_SHARED 0x8000u
#define LMP_SPAN_WORD(state, cls, owner, len) \
  ((uint64_t)(state) | (uint64_t)(cls) << 8 | (uint64_t)(owner) << 16 | (uint64_t)(len) << 32)
#define LMP_SPAN_STATE(word) ((unsigned)((word)&0xff))
#define LMP_SPAN_CLASS(word) ((unsigned)((word) >> 8 & 0xff))
#define LMP_SPAN_OWNER(word) ((uint32_t)((word) >> 16 & 0xffff))
#define LMP_SPAN_LEN(word) ((uint32_t)((word) >> 32))

typedef struct lmp_span {
  uint64_t sp_word;
  uint32_t sp_full;   /* no block of it is free; only a hint */
  uint32_t sp_tagged; /* its tags were used: their pages are there */
} lmp_span;
_Static_assert(sizeof(lmp_span) == 16, "four to a line");

#endif

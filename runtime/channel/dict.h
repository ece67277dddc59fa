/* channel/dict.h: a hash table in shared memory.
 * SPDX-License-Identifier: MIT */
#ifndef LMP_CHANNEL_DICT_H
#define LMP_CHANNEL_DICT_H

#include "channel/entry.h"
#include "channel/slots.h"

#define LMP_DICT_STRIPES 4u

/* One of the tables that make up a dict, each with a lock and a cache line of its own. */
typedef struct lmp_stripe {
  uint32_t st_lock;
  uint32_t st_release; /* grows when a hold ends; slept on */
  uint64_t st_count;   /* changes:32 | entries:32 */
  uint32_t st_buckets; /* at least LMP_SLOTS_FIRST */
  uint32_t st_nh;      /* entries that name objects */
  lmp_slots st_slots;  /* the buckets: the first entries of chains */
  uint64_t st_holds;   /* the first hold, 0: none */
  uint64_t st_flag;    /* somebody sleeps on st_release */
} lmp_stripe;
_Static_assert(sizeof(lmp_stripe) == LMP_CACHELINE, "a line each");

typedef struct lmp_dict {
  lmp_stripe di_stripe[LMP_DICT_STRIPES];
  uint64_t di_seed; /* constant */
} lmp_dict;
_Static_assert(sizeof(lmp_dict) <= LMP_OBJ_BODY, "fits an object");

/* A key that is held, while its new value is being computed: a block. */
typedef struct lmp_hold {
  uint64_t ho_next;
  uint64_t ho_order;
  uint32_t ho_id, ho_serial; /* whose: context id and its cx_serial */
  uint32_t ho_klen;
  uint32_t ho_pad;
} lmp_hold;

extern const lmp_kind lmp_dict_kind, lmp_namespace_kind;

/* A key: its bytes, the same for equal keys, and its place in the order of entries. */
typedef struct lmp_dkey {
  const void *data;
  uint32_t len;
  uint64_t order;
} lmp_dkey;

/* lmp_dict_new: an empty dict of kind LMP_KIND_DICT or LMP_KIND_NAMESPACE, held by this process. LMP_E_NOSLOT,
 * LMP_E_NOMEM. */
LMP_NODISCARD lmp_err lmp_dict_new(lmp_me *me, uint32_t kind, const char *name, size_t namelen,
                                   lmp_handle *h);
/* lmp_dict_key: the key of these bytes, which are borrowed. */
lmp_dkey lmp_dict_key(const lmp_obj *o, const void *data, uint32_t len);

/* lmp_dict_get: reads the value of a key; out->found says whether there is one. False: the buffer is too small,
 * *need bytes are wanted. */
LMP_NODISCARD bool lmp_dict_get(lmp_me *me, lmp_obj *o, const lmp_dkey *key, lmp_out *out,
                                size_t *need);
/* lmp_dict_next: reads key and value of the entry after `key` (NULL: the first) in the order of the dict, in
 * which no entry ever moves: a walk meets every entry that is there throughout once. Not found: the end. `key`
 * need not be there. False: as above. */
LMP_NODISCARD bool lmp_dict_next(lmp_me *me, lmp_obj *o, const lmp_dkey *key, lmp_out *out,
                                 size_t *need);
/* lmp_dict_count: the number of entries, exact at a moment during the call. */
uint64_t lmp_dict_count(const lmp_obj *o);

typedef enum lmp_dact { LMP_DICT_KEEP, LMP_DICT_STORE, LMP_DICT_DELETE } lmp_dact;

/* One change of one entry. */
typedef struct lmp_dop {
  lmp_dkey key;
  const lmp_msg *value; /* to be stored; NULL and room == 0: nothing, so delete */
  uint32_t room;        /* bytes of the value that `decide` writes */
  /* Looks at the entry there is (NULL: none) and says what happens; it may write the value of the draft and its
   * en_vlen. Under the lock. NULL: stores what there is to store, else deletes. */
  lmp_dact (*decide)(void *arg, lmp_entry *old, lmp_entry *draft);
  void *arg;
  lmp_out *out; /* gets the entry that was replaced or deleted; NULL: nobody wants it */
  bool held;    /* the caller holds the key, and lets go of it with the change */
  bool changed; /* result: it was stored or deleted */
} lmp_dop;

/* lmp_dict_write: the change, at one moment and for every process, or not at all. Waits until `deadline` while another
 * thread holds the key, and while the family's memory is full. LMP_E_TIMEOUT; LMP_E_INTR; LMP_E_TOOLARGE: can
 * never fit; LMP_E_NOSLOT: too many large values; LMP_E_INVAL: the calling thread holds the key itself. With
 * `held` an error leaves the hold as it was. */
LMP_NODISCARD lmp_err lmp_dict_write(lmp_me *me, lmp_obj *o, lmp_dop *op, uint64_t deadline);

/* lmp_dict_hold: takes hold of a key, in the dict or not, against all writers, as soon as nobody holds it; others go
 * on reading the entry. To be ended by the same thread, with lmp_dict_write or lmp_dict_release; the hold of a
 * thread that is gone is none. Errors as above. lmp_dict_release: lets go of it, if it is held. */
LMP_NODISCARD lmp_err lmp_dict_hold(lmp_me *me, lmp_obj *o, const lmp_dkey *key, uint64_t deadline);
void lmp_dict_release(lmp_me *me, lmp_obj *o, const lmp_dkey *key);

/* lmp_dict_clear: takes all entries out, at one moment. Waits until `deadline` while another thread holds a key.
 * LMP_E_TIMEOUT; LMP_E_INTR; LMP_E_NOSLOT: too many objects; LMP_E_INVAL: the calling thread holds a key itself. */
LMP_NODISCARD lmp_err lmp_dict_clear(lmp_me *me, lmp_obj *o, uint64_t deadline);

/* lmp_dict_valid: checks the invariants of a dict at rest and adds the number of its blocks to *blocks; for tests.
 * NULL, or what is wrong. */
const char *lmp_dict_valid(lmp_me *me, lmp_obj *o, uint32_t *blocks);

#endif

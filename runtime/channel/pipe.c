/* channel/pipe.c: the pipe.
 * SPDX-License-Identifier: MIT
 *
 * Design. An end is an object whose body names the stream it reads and the one it writes; a stream is an
 * unbounded queue that no process holds. Sending, receiving and waiting are the queue's, and so is
 * what happens to who is killed in it.
 *   P1 a stream lives while one of the ends lives that name it: the collector marks the streams of
 *      every end that is alive or being destroyed (G5).
 *   P2 what lies in a stream is alive while its reading end is: nobody else can take it. An end that
 *      lies only in a stream of its own is thereby found to be gone.
 *   P3 the end of an end closes both its streams, the one it writes first: that is the end of the
 *      stream for who reads at the other end, once drained, and closed for who writes there. What can
 *      no more be read is dropped at once.
 *   P4 that moment comes without delay: kinds with seen_end (G4).
 * CRASH: while a pipe is made: what is published is held by the dead, and ends with it; the peer of a
 * half-made end is an end that nobody ever had. While an end is destroyed: whoever finds it starts
 * again; closing and dropping are idempotent. */
#include "channel/pipe.h"

#include "base/debug.h"
#include "channel/queue_priv.h"

static void mark(lmp_me *me, lmp_handle h) {
  if (h.obj) lmp_collect_mark(me, h);
}

static void conn_trace(lmp_me *me, lmp_obj *o) {
  lmp_conn *c = lmp_conn_of(o);
  mark(me, c->cn_in);
  mark(me, c->cn_out);
  /* While we are the collector, a stream of an end that is not being destroyed is not, either. */
  bool live = (lmp_load_acq32(&o->ob_state) & 0xff) == LMP_OBJ_LIVE;
  lmp_obj *in = live ? lmp_obj_get(me->a, c->cn_in) : NULL;
  if (in) lmp_queue_trace(me, in);
}

/* Nobody will read it any more. */
static void stop_stream(lmp_me *me, lmp_obj *o) {
  lmp_queue *q = lmp_queue_of(o);
  lmp_queue_close(me, o);
  while (lmp_queue_drop(me, q)) {
  }
  lmp_queue_trim(me, q);
}

/* The streams are gone already where the collector found both ends and them at once. */
static void conn_destroy(lmp_me *me, lmp_obj *o) {
  lmp_conn *c = lmp_conn_of(o);
  lmp_obj *out = lmp_obj_get(me->a, c->cn_out);
  lmp_obj *in = lmp_obj_get(me->a, c->cn_in);
  /* After the other end they are left to the collector. */
  if ((out && lmp_queue_closed(out)) || (in && lmp_queue_closed(in))) {
    lmp_add_ar32(&me->a->h->hd_gc_debt, 1);
  }
  if (out) lmp_queue_close(me, out);
  if (in) stop_stream(me, in);
}

/* Ready to receive from; an end that only sends, when the other one is gone. */
static bool conn_watch(lmp_me *me, lmp_obj *o, uint64_t **flag) {
  const lmp_conn *c = lmp_conn_of(o);
  lmp_obj *q = lmp_obj_at(me->a, c->cn_in.obj ? c->cn_in.obj : c->cn_out.obj);
  *flag = &lmp_queue_of(q)->qe_flag;
  return lmp_queue_closed(q) || (c->cn_in.obj && lmp_queue_size(q) != 0);
}

const lmp_kind lmp_conn_kind = {
    .name = "Connection",
    .destroy = conn_destroy,
    .trace = conn_trace,
    .seen_end = true,
    .watch = conn_watch,
};

static void stream_destroy(lmp_me *me, lmp_obj *o) { stop_stream(me, o); }

const lmp_kind lmp_stream_kind = {.name = "Stream", .destroy = stream_destroy};

/* -- making ------------------------------------------------------------------------------------- */

static lmp_err stream_new(lmp_me *me, lmp_handle *h) {
  lmp_obj *o;
  lmp_err e = lmp_obj_new(me, LMP_KIND_STREAM, NULL, 0, &o);
  if (e) return e;
  lmp_tx_begin(me);
  *h = lmp_obj_publish(me, o);
  return LMP_OK;
}

static lmp_err end_new(lmp_me *me, const char *name, size_t len, lmp_handle in, lmp_handle out,
                       lmp_handle *h) {
  lmp_obj *o;
  lmp_err e = lmp_obj_new(me, LMP_KIND_CONNECTION, name, len, &o);
  if (e) return e;
  *lmp_conn_of(o) = (lmp_conn){.cn_in = in, .cn_out = out};
  lmp_tx_begin(me);
  *h = lmp_obj_publish(me, o);
  return LMP_OK;
}

lmp_err lmp_pipe_new(lmp_me *me, const char *name, size_t len, bool duplex, lmp_handle ends[2]) {
  lmp_handle to_first = {0, 0};
  lmp_handle to_second = {0, 0};
  lmp_err e = stream_new(me, &to_first);
  if (e) return e;
  if (duplex) e = stream_new(me, &to_second);
  if (e) goto fail_first;
  e = end_new(me, name, len, to_first, to_second, &ends[0]);
  if (e) goto fail_second;
  e = end_new(me, name, len, to_second, to_first, &ends[1]);
  if (e) goto fail_end;
  lmp_obj_entrust(me, to_first);
  if (duplex) lmp_obj_entrust(me, to_second);
  return LMP_OK;

fail_end:
  lmp_obj_unref(me, ends[0]);
fail_second:
  if (duplex) lmp_obj_unref(me, to_second);
fail_first:
  lmp_obj_unref(me, to_first);
  return e;
}

void lmp_conn_deafen(lmp_me *me, lmp_obj *o) {
  lmp_conn *c = lmp_conn_of(o);
  if (c->cn_in.obj == 0) return;
  lmp_store_rel32(&c->cn_deaf, 1);
  lmp_queue_cancel(me, lmp_obj_at(me->a, c->cn_in.obj));
}

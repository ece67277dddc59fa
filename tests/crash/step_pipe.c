/* crash/step_pipe.c: operations of step_kill on pipes.
 * SPDX-License-Identifier: MIT
 *
 * The main process holds the first end of a pipe, and a queue in which the second end lies; the victim
 * takes it out, and is its only holder from then on. Wherever the victim dies, the first end gets what
 * was sent, whole and in order, and then the end of the stream, without anybody's collecting; and then
 * nothing of the pipe is left. */
#include <string.h>

#include "channel/pipe.h"
#include "step_kill.h"

#define LARGE 900u

static lmp_handle first, second, carrier;
static bool there; /* in the real arena */

static lmp_obj *of(place *p, lmp_handle h) { return lmp_obj_at(&p->a, h.obj); }

static lmp_err put(place *p, lmp_obj *q, uint8_t id, size_t size, lmp_handle named) {
  uint8_t bytes[LARGE];
  lmp_iov iov = {bytes, size};
  lmp_msg m = {.iov = &iov, .niov = 1, .len = size, .handles = &named, .nhandles = named.obj != 0};
  size_t done;
  memset(bytes, id, size);
  return lmp_queue_put(&p->me, q, &m, 1, LMP_NOWAIT, &done);
}

static lmp_inbox box;

/* Takes a message; `keep`: the objects that it names stay held. *id: 0, torn. */
static lmp_err get(place *p, lmp_obj *q, bool keep, uint8_t *id) {
  if (!box.buf) step_must(lmp_inbox_init(&box), "memory");
  lmp_err e = lmp_queue_get(&p->me, q, 1, LMP_NOWAIT, &box);
  if (e) return e;
  const lmp_in *in = &box.in[0];
  *id = in->data[0];
  for (size_t i = 0; i < in->len; i++) {
    if (in->data[i] != in->data[0]) *id = 0;
  }
  for (uint32_t i = 0; keep && i < in->nhandles; i++) lmp_obj_ref(&p->me, in->handles[i]);
  lmp_inbox_done(&p->me, &box, 0);
  return LMP_OK;
}

void pipe_place(place *p) {
  p->a.kinds[LMP_KIND_CONNECTION] = &lmp_conn_kind;
  p->a.kinds[LMP_KIND_STREAM] = &lmp_stream_kind;
}

void pipe_hold(lmp_me *me) {
  if (there) step_must(lmp_obj_hold(me, carrier) == LMP_OK, "hold");
}

static void drop(place *p) {
  lmp_obj_unref(&p->me, first);
  lmp_obj_unref(&p->me, carrier);
  if (p == &real) there = false;
}

void pipe_drop(void) {
  if (there) drop(&real);
}

/* -- operations ---------------------------------------------------------------------------------- */

static void set_nothing(void) {}

static void set_pipe(void) {
  static const lmp_handle none = {0, 0};
  lmp_handle ends[2];
  step_must(!lmp_pipe_new(&real.me, NULL, 0, true, ends), "pipe");
  step_must(!lmp_queue_new(&real.me, NULL, 0, 0, &carrier), "queue");
  first = ends[0];
  second = ends[1];
  there = true;
  step_must(!put(&real, of(&real, carrier), 1, 1, second), "put");
  lmp_obj_unref(&real.me, second);
  lmp_obj *q = lmp_conn_out(&real.a, of(&real, first));
  step_must(!put(&real, q, 1, 5, none) && !put(&real, q, 2, LARGE, none), "send");
}

static bool take(void) {
  uint8_t id;
  return get(&real, of(&real, carrier), true, &id) == LMP_OK;
}

static void do_new(void) {
  lmp_handle ends[2];
  if (lmp_pipe_new(&real.me, "a name that is long enough", 26, true, ends)) return;
  lmp_obj_unref(&real.me, ends[0]);
  lmp_obj_unref(&real.me, ends[1]);
}

static void send_two(lmp_handle named) {
  lmp_obj *q = lmp_conn_out(&real.a, of(&real, second));
  (void)!put(&real, q, 1, LARGE, named);
  (void)!put(&real, q, 2, 5, (lmp_handle){0, 0});
}

static void do_send(void) {
  if (take()) send_two((lmp_handle){0, 0});
}

static void do_recv(void) {
  uint8_t id;
  if (!take()) return;
  lmp_obj *q = lmp_conn_in(&real.a, of(&real, second));
  while (get(&real, q, false, &id) == LMP_OK) {
  }
}

static void do_close(void) {
  if (!take()) return;
  send_two((lmp_handle){0, 0});
  lmp_obj_unref(&real.me, second);
}

/* The end goes through its own pipe, and is let go of: the reader is its next holder, for a moment. */
static void do_pass(void) {
  if (!take()) return;
  send_two(second);
  lmp_obj_unref(&real.me, second);
}

static void do_deafen(void) {
  if (take()) lmp_conn_deafen(&real.me, of(&real, second));
}

/* -- check --------------------------------------------------------------------------------------- */

static const char *stream_ends(place *p) {
  uint8_t id;
  uint8_t next = 1;
  lmp_err e;
  (void)!get(p, of(p, carrier), false, &id); /* where nobody took it: that was the last of it */
  lmp_obj *in = lmp_conn_in(&p->a, of(p, first));
  while ((e = get(p, in, false, &id)) == LMP_OK) {
    if (id == 0) return "a message of a pipe is torn";
    if (id != next++) return "messages of a pipe are lost or out of order";
  }
  if (e != LMP_E_CLOSED) return "the end of a stream is not seen";
  lmp_obj *back = lmp_conn_out(&p->a, of(p, first));
  if (put(p, back, 1, 5, (lmp_handle){0, 0}) != LMP_E_CLOSED) return "sends to nobody";
  if (lmp_obj_get(&p->a, second)) return "an end stays that nobody holds";
  return lmp_queue_valid(&p->me, in);
}

static const char *check_pipe(place *p) {
  const char *bad = stream_ends(p);
  drop(p);
  return bad;
}

const step_op pipe_ops[] = {
    {"pipe_new", set_nothing, do_new, 1, 0, NULL},
    {"pipe_send", set_pipe, do_send, 1, 0, check_pipe},
    {"pipe_recv", set_pipe, do_recv, 1, 0, check_pipe},
    {"pipe_close", set_pipe, do_close, 1, 0, check_pipe},
    {"pipe_pass", set_pipe, do_pass, 1, 0, check_pipe},
    {"pipe_deafen", set_pipe, do_deafen, 1, 0, check_pipe},
    {0},
};

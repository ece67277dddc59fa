/* SPDX-License-Identifier: MIT */
/* zmq.c: ZeroMQ PUSH/PULL over ipc, from C. Messages are structs, not script values.
 * A producer keeps its socket open until the consumer has confirmed: PUSH over ipc
 * loses messages when it closes while the consumer is at its high-water mark.
 *
 *   zmq ints COUNT
 *   zmq records COUNT
 *   zmq fan COUNT           COUNT by each of four producers to four consumers, with a
 *                           socket for each pair (producers take turns over them)
 *   zmq pingpong COUNT PAUSE [CORE OTHER]
 *   zmq bulk COUNT SIZE
 */
#include "peer.h"

#include <zmq.h>

enum { SIDES = 4 };

static gate start_gate, close_gate;

/* endpoint: an abstract address, so that nothing is left in the file system. */
static const char *endpoint(pid_t pid, int k) {
  static char name[64];
  snprintf(name, sizeof name, "ipc://@luamp-bench-%ld-%d", (long)pid, k);
  return name;
}

static void *bound(void *context, int type, const char *name) {
  void *s = zmq_socket(context, type);
  if (s == NULL || zmq_bind(s, name) != 0) fail("bind %s: %s", name, zmq_strerror(errno));
  return s;
}

static void *connected(void *context, int type, const char *name) {
  void *s = zmq_socket(context, type);
  if (s == NULL || zmq_connect(s, name) != 0) fail("connect %s: %s", name, zmq_strerror(errno));
  return s;
}

static void send_all(void *s, const void *p, size_t size) {
  if (zmq_send(s, p, size, 0) != (int)size) fail("zmq_send: %s", zmq_strerror(errno));
}

static void recv_all(void *s, void *p, size_t size) {
  if (zmq_recv(s, p, size, 0) != (int)size) fail("zmq_recv: %s", zmq_strerror(errno));
}

static void shut(void *context, void **sockets, int n) {
  int zero = 0;
  for (int i = 0; i < n; i++) {
    zmq_setsockopt(sockets[i], ZMQ_LINGER, &zero, sizeof zero);
    zmq_close(sockets[i]);
  }
  zmq_ctx_term(context);
}

static void ints(int64_t count) {
  pid_t me = getpid(), pid = start();
  int64_t v, sum = 0;
  void *context = zmq_ctx_new(), *s;
  if (pid == 0) {
    s = connected(context, ZMQ_PUSH, endpoint(me, 0));
    gate_enter(&start_gate);
    for (int64_t i = 1; i <= count; i++) send_all(s, &i, sizeof i);
    gate_leave(&start_gate, count);
    gate_enter(&close_gate);
    shut(context, &s, 1);
    _exit(0);
  }
  s = bound(context, ZMQ_PULL, endpoint(me, 0));
  double t0 = gate_open(&start_gate, 1);
  for (int64_t i = 1; i <= count; i++) {
    recv_all(s, &v, sizeof v);
    if (v != i) fail("got %" PRId64 ", not %" PRId64, v, i);
    sum += v;
  }
  int64_t put = gate_wait(&start_gate, 1);
  double t1 = now();
  check_sum(count, put, sum);
  gate_open(&close_gate, 1);
  join(pid);
  shut(context, &s, 1);
  printf("RESULT %.9g msg/s\n", (double)count / (t1 - t0));
}

static void records(int64_t count) {
  record names[NAMES], r;
  for (int k = 0; k < NAMES; k++) make_record(&names[k], k);
  pid_t me = getpid(), pid = start();
  void *context = zmq_ctx_new(), *s;
  if (pid == 0) {
    s = connected(context, ZMQ_PUSH, endpoint(me, 0));
    gate_enter(&start_gate);
    for (int64_t i = 1; i <= count; i++) {
      r = names[i & (NAMES - 1)];
      r.id = i;
      r.x = (double)i * 0.5;
      send_all(s, &r, sizeof r);
    }
    gate_leave(&start_gate, count);
    gate_enter(&close_gate);
    shut(context, &s, 1);
    _exit(0);
  }
  s = bound(context, ZMQ_PULL, endpoint(me, 0));
  double t0 = gate_open(&start_gate, 1), sum = 0;
  for (int64_t i = 1; i <= count; i++) {
    recv_all(s, &r, sizeof r);
    if (r.id != i || memcmp(r.name, names[i & (NAMES - 1)].name, NAME_SIZE) != 0)
      fail("got record %" PRId64 " at %" PRId64, r.id, i);
    sum += r.x;
  }
  int64_t put = gate_wait(&start_gate, 1);
  double t1 = now();
  check_sum(count, put, (int64_t)(sum * 2));
  gate_open(&close_gate, 1);
  join(pid);
  shut(context, &s, 1);
  printf("RESULT %.9g msg/s\n", (double)count / (t1 - t0));
}

static void fan_produce(pid_t family, int64_t k, int64_t count) {
  void *context = zmq_ctx_new(), *s[SIDES];
  int64_t end = 0;
  for (int c = 0; c < SIDES; c++) s[c] = connected(context, ZMQ_PUSH, endpoint(family, c));
  gate_enter(&start_gate);
  for (int64_t i = 1; i <= count; i++) {
    int64_t v = k * BASE + i;
    send_all(s[i % SIDES], &v, sizeof v);
  }
  for (int c = 0; c < SIDES; c++) send_all(s[c], &end, sizeof end);
  gate_leave(&start_gate, count);
  gate_enter(&close_gate);
  shut(context, s, SIDES);
  _exit(0);
}

static void fan_consume(pid_t family, int c, int report) {
  int64_t last[SIDES + 1] = {0}, answer[2] = {0, 0};
  void *context = zmq_ctx_new(), *s = bound(context, ZMQ_PULL, endpoint(family, c));
  gate_enter(&start_gate);
  for (int ends = 0; ends < SIDES;) {
    int64_t v;
    recv_all(s, &v, sizeof v);
    if (v == 0) {
      ends++;
      continue;
    }
    int64_t k = v / BASE, i = v % BASE;
    if (i <= last[k]) fail("producer %" PRId64 ": %" PRId64 " after %" PRId64, k, i, last[k]);
    last[k] = i;
    answer[0]++;
    answer[1] += i;
  }
  write_all(report, answer, sizeof answer);
  gate_enter(&close_gate);
  shut(context, &s, 1);
  _exit(0);
}

static void fan(int64_t count) {
  pid_t me = getpid(), pids[2 * SIDES];
  int report[2];
  int64_t got = 0, sum = 0;
  if (count >= BASE) fail("COUNT must be under %d", BASE);
  if (pipe(report) != 0) fail("pipe");
  for (int i = 0; i < 2 * SIDES; i++) {
    pids[i] = start();
    if (pids[i] == 0 && i < SIDES) fan_consume(me, i, report[1]);
    if (pids[i] == 0) fan_produce(me, i - SIDES + 1, count);
  }
  double t0 = gate_open(&start_gate, 2 * SIDES);
  int64_t put = gate_wait(&start_gate, SIDES);
  for (int i = 0; i < SIDES; i++) {
    int64_t answer[2];
    read_all(report[0], answer, sizeof answer);
    got += answer[0];
    sum += answer[1];
  }
  double t1 = now();
  if (put != SIDES * count || got != SIDES * count) fail("%" PRId64 " of %" PRId64, got, put);
  check_sum(count, put / SIDES, sum / SIDES);
  gate_open(&close_gate, 2 * SIDES);
  for (int i = 0; i < 2 * SIDES; i++) join(pids[i]);
  printf("RESULT %.9g msg/s\n", (double)(SIDES * count) / (t1 - t0));
}

static void pingpong(int64_t count, double pause, const char *core, const char *other) {
  double *times = allocate((size_t)count * sizeof *times);
  pid_t me = getpid(), pid = start();
  pin(pid == 0 ? other : core); /* before ZeroMQ starts its threads */
  void *context = zmq_ctx_new(), *s[2];
  int64_t v;
  if (pid == 0) {
    s[0] = connected(context, ZMQ_PULL, endpoint(me, 0));
    s[1] = connected(context, ZMQ_PUSH, endpoint(me, 1));
    gate_enter(&start_gate);
    for (int64_t i = 0; i < count + WARMUP; i++) {
      recv_all(s[0], &v, sizeof v);
      send_all(s[1], &v, sizeof v);
    }
    gate_leave(&start_gate, count + WARMUP);
    gate_enter(&close_gate);
    shut(context, s, 2);
    _exit(0);
  }
  s[0] = bound(context, ZMQ_PUSH, endpoint(me, 0));
  s[1] = bound(context, ZMQ_PULL, endpoint(me, 1));
  gate_open(&start_gate, 1);
  for (int64_t i = 1 - WARMUP; i <= count; i++) {
    doze(pause);
    double t = now();
    send_all(s[0], &i, sizeof i);
    recv_all(s[1], &v, sizeof v);
    t = now() - t;
    if (v != i) fail("got %" PRId64 ", not %" PRId64, v, i);
    if (i > 0) times[i - 1] = t;
  }
  if (gate_wait(&start_gate, 1) != count + WARMUP) fail("the partner's count is wrong");
  gate_open(&close_gate, 1);
  join(pid);
  shut(context, s, 2);
  print_percentiles(times, count);
  free(times);
}

static void bulk(int64_t count, size_t size) {
  unsigned char *strings[KINDS];
  for (size_t k = 0; k < KINDS; k++) make_string(strings[k] = allocate(size), size, k);
  pid_t me = getpid(), pid = start();
  void *context = zmq_ctx_new(), *s;
  int mark = size > 1000000 ? 2 : 64;
  if (pid == 0) {
    s = zmq_socket(context, ZMQ_PUSH);
    if (s == NULL || zmq_setsockopt(s, ZMQ_SNDHWM, &mark, sizeof mark) != 0 ||
        zmq_connect(s, endpoint(me, 0)) != 0)
      fail("socket: %s", zmq_strerror(errno));
    gate_enter(&start_gate);
    for (int64_t i = 1; i <= count; i++) send_all(s, strings[i % KINDS], size);
    gate_leave(&start_gate, count);
    gate_enter(&close_gate);
    shut(context, &s, 1);
    _exit(0);
  }
  s = zmq_socket(context, ZMQ_PULL);
  if (s == NULL || zmq_setsockopt(s, ZMQ_RCVHWM, &mark, sizeof mark) != 0 ||
      zmq_bind(s, endpoint(me, 0)) != 0)
    fail("socket: %s", zmq_strerror(errno));
  double t0 = gate_open(&start_gate, 1), t1 = 0;
  zmq_msg_t message;
  zmq_msg_init(&message);
  for (int64_t i = 1; i <= count; i++) {
    if (zmq_msg_recv(&message, s, 0) != (int)size) fail("zmq_msg_recv: %s", zmq_strerror(errno));
    check_string(zmq_msg_data(&message), size, i);
  }
  int64_t put = gate_wait(&start_gate, 1);
  t1 = now();
  if (put != count) fail("%" PRId64 " put", put);
  check_whole_string(zmq_msg_data(&message), size, count);
  zmq_msg_close(&message);
  gate_open(&close_gate, 1);
  join(pid);
  shut(context, &s, 1);
  for (size_t k = 0; k < KINDS; k++) free(strings[k]);
  printf("RESULT %.9g MB/s\n", (double)count * (double)size / (t1 - t0) / 1e6);
}

int main(int argc, char **argv) {
  if (argc < 3) fail("zmq ints|records|fan|pingpong|bulk COUNT ...");
  int64_t count = count_of(argv[2]);
  gate_init(&start_gate);
  gate_init(&close_gate);
  if (strcmp(argv[1], "ints") == 0)
    ints(count);
  else if (strcmp(argv[1], "records") == 0)
    records(count);
  else if (strcmp(argv[1], "fan") == 0)
    fan(count);
  else if (strcmp(argv[1], "pingpong") == 0)
    pingpong(count, argc > 3 ? atof(argv[3]) : 0, argc > 5 ? argv[4] : NULL,
             argc > 5 ? argv[5] : NULL);
  else if (strcmp(argv[1], "bulk") == 0 && argc > 3)
    bulk(count, (size_t)count_of(argv[3]));
  else
    fail("no such work: %s", argv[1]);
  return 0;
}

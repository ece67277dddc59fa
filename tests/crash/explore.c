/* crash/explore.c: the schedule explorer: explore [-vf] [-x SCALE] [-S SEED] [-p PREFIX] [-s SCENE [-r SCHEDULE]].
 * SPDX-License-Identifier: MIT
 *
 * A schedule is a list of steps: a member runs up to an access or a write and stops before it, or is
 * killed; then all run freely, the dead are reaped, everything is checked. Counts are from the start of
 * a member, so a schedule printed on failure can be run again with a trace: V12 means V runs up to its
 * access 12, Vw7 up to its write 7, V! that it is killed, V? that its sleep times out, V~ that a signal
 * arrives, V that it runs on freely. A killed member leaves the same memory before any of the reads
 * that precede a write, so only writes are kill points. -f: ends at the first violation. -x: more
 * schedules. -S: other random ones. -p: only scenes whose names begin so. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "world.h"

enum { STEP_ACCESS, STEP_WRITE, STEP_FREE, STEP_KILL, STEP_TIMEOUT, STEP_SIGNAL };

typedef struct step {
  uint8_t who, op;
  uint32_t n;
} step;

#define STEPS_MAX 24u
#define MOST_POINTS 4000u /* of one step */
typedef struct schedule {
  step s[STEPS_MAX];
  unsigned n;
} schedule;

static const char names[] = "VPQRSM";
static world saved_world;
static bool verbose;
static bool stop_first;
static const char *only, *prefix = "";
static struct { uint64_t schedules, kills, points, violations; } total, here;

/* -- one schedule -------------------------------------------------------------------------------- */

static void print_schedule(const schedule *s) {
  for (unsigned i = 0; i < s->n; i++) {
    const step *t = &s->s[i];
    static const char *const mark[] = {"", "w", "", "!", "?", "~"};
    printf("%s%c%s", i ? " " : "", names[t->who], mark[t->op]);
    if (t->op <= STEP_WRITE) printf("%u", t->n);
  }
}

/* For each step of the last schedule, whether the member stopped where it was told to. */
static bool hit[STEPS_MAX];

static void perform(const schedule *s) {
  bool killed = false;
  for (unsigned i = 0; i < s->n && !sim_k.failure; i++) {
    const step *t = &s->s[i];
    switch (t->op) {
      case STEP_ACCESS:
        hit[i] = sim_run(t->who, t->n, SIM_ALWAYS);
        break;
      case STEP_WRITE:
        hit[i] = sim_run(t->who, SIM_ALWAYS, t->n);
        break;
      case STEP_FREE:
        sim_run(t->who, SIM_ALWAYS, SIM_ALWAYS);
        break;
      case STEP_KILL:
        if (sim_k.m[t->who].state == SIM_DONE && t->who < SIM_R) break;
        sim_kill(t->who);
        killed = true;
        here.kills++;
        if (t->who >= SIM_R) sim_bury(t->who);
        break;
      case STEP_TIMEOUT:
        sim_interrupt(t->who, LMP_TIMED_OUT);
        break;
      default:
        sim_interrupt(t->who, LMP_SIGNALLED);
    }
  }
  world_finish(killed);
}

/* Returns what is wrong, or NULL. */
static const char *run(const schedule *s) {
  sim_reset();
  world_w = saved_world;
  memset(hit, 0, sizeof hit);
  here.schedules++;
  if (setjmp(sim_k.out) == 0) perform(s);
  sim_k.cur = NULL;
  return sim_k.failure;
}

static bool attempt(const char *scene_name, const schedule *s) {
  const char *bad = run(s);
  if (!bad) return true;
  if (here.violations++ < (verbose ? 20 : 2)) {
    printf("%s: %s: explore -s %s -r '", scene_name, bad, scene_name);
    print_schedule(s);
    printf("'\n");
    fflush(stdout);
  }
  if (stop_first) exit(1);
  return false;
}

/* -- scenes ------------------------------------------------------------------------------------- */

static void reaper_body(sim_member *m) { lmp_reap_all(&m->me); }

static bool set_up(const scene *sc) {
  sim_make();
  sim_k.failure = NULL;
  world_w = (world){.batch = 8};
  if (setjmp(sim_k.out)) return false;
  sim_process(SIM_M);
  for (unsigned i = 0; i < SIM_M; i++) {
    sim_member *m = &sim_k.m[i];
    world_set_kinds(&m->a);
    bool player = i >= SIM_R || sc->body[i] || sc->setup == NULL;
    if (player && !(i == SIM_V && sc->outside)) sim_process(i);
  }
  world_set_kinds(&sim_k.m[SIM_M].a);
  if (!sc->body[2] && !sim_k.m[SIM_Q].me.id) sim_process(SIM_Q);
  sc->setup();
  for (unsigned i = 0; i < SIM_M; i++) {
    sim_member *m = &sim_k.m[i];
    if (m->state == SIM_DEAD) continue;
    m->body = i >= SIM_R ? reaper_body : sc->body[i];
    m->state = m->body ? SIM_READY : SIM_DONE;
  }
  sim_save();
  saved_world = world_w;
  return true;
}

static uint32_t pick(uint64_t *seed, uint32_t n) {
  *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (uint32_t)(((*seed >> 33) * n) >> 31);
}

/* -- systematic families of schedules ------------------------------------------------------------- */

/* How far member `i` gets alone. */
typedef struct extent {
  uint32_t accesses, writes;
  bool sleeps;
} extent;
static extent measure(unsigned i) {
  sim_reset();
  world_w = saved_world;
  if (setjmp(sim_k.out) == 0) sim_run(i, SIM_ALWAYS, SIM_ALWAYS);
  sim_k.cur = NULL;
  const sim_member *m = &sim_k.m[i];
  return (extent){(uint32_t)m->accesses, (uint32_t)m->writes, m->state == SIM_SLEEPING};
}

/* Every value of the count of step `i`, by `stride`, until the member does not come so far; runs `then`
 * with each. */
typedef void sweep_fn(const char *scene_name, schedule *s);
static void sweep(const char *scene_name, schedule *s, unsigned i, uint32_t from, uint32_t stride,
                  sweep_fn *then) {
  for (s->s[i].n = from; s->s[i].n < from + MOST_POINTS; s->s[i].n += stride) {
    hit[i] = false;
    then(scene_name, s);
    if (!hit[i]) break;
  }
}

static void once(const char *scene_name, schedule *s) { attempt(scene_name, s); }
static uint32_t inner_step, inner_from, inner_stride;
static void inner(const char *scene_name, schedule *s) {
  sweep(scene_name, s, inner_step, inner_from, inner_stride, once);
}

/* Two steps of a schedule, all pairs of values. */
static void pairs(const char *scene_name, schedule *s, unsigned outer, uint32_t from_outer,
                  uint32_t stride_outer, unsigned step_inner, uint32_t from_inner,
                  uint32_t stride_inner) {
  inner_step = step_inner;
  inner_from = from_inner;
  inner_stride = stride_inner;
  sweep(scene_name, s, outer, from_outer, stride_outer, inner);
}

/* V stops at each of its writes and is killed; then the others. */
static void kill_each(const scene *sc, uint8_t v) {
  uint64_t before = here.schedules;
  schedule s = {.n = 2, .s = {{v, STEP_WRITE, 0}, {v, STEP_KILL, 0}}};
  sweep(sc->name, &s, 0, 0, 1, once);
  here.points += here.schedules - before;
}

/* The two others sleep, perhaps; V is killed at each of its writes. */
static void kill_watched(const scene *sc, uint8_t v) {
  uint8_t p = v == 0 ? 1 : 0;
  uint8_t q = (uint8_t)(3 - v - p);
  if (!sc->body[p] || !sc->body[q]) return;
  schedule s = {.n = 4,
                .s = {{p, STEP_FREE, 0}, {q, STEP_FREE, 0}, {v, STEP_WRITE, 0}, {v, STEP_KILL, 0}}};
  sweep(sc->name, &s, 2, 0, 1, once);
}

/* The first stops at i, the second at j, then the first goes on. */
static void interleave(const scene *sc, uint8_t a, uint8_t b, uint32_t stride_a,
                       uint32_t stride_b) {
  schedule s = {.n = 3, .s = {{a, STEP_ACCESS, 0}, {b, STEP_ACCESS, 0}, {a, STEP_FREE, 0}}};
  pairs(sc->name, &s, 0, 0, stride_a, 1, 0, stride_b);
}

/* A player stops at j, the victim is killed at its write k, then the other goes on. */
static void kill_between(const scene *sc, uint8_t v, uint8_t p, uint32_t stride) {
  schedule s = {.n = 3, .s = {{p, STEP_ACCESS, 0}, {v, STEP_WRITE, 0}, {v, STEP_KILL, 0}}};
  pairs(sc->name, &s, 0, 0, stride, 1, 0, 1);
}

/* The same, but the dead is reaped before the other goes on: what it looked at is repaired by then. */
static void reap_before(const scene *sc, uint8_t v, uint8_t p, uint32_t stride) {
  schedule s = {
      .n = 4,
      .s = {{p, STEP_ACCESS, 0}, {v, STEP_WRITE, 0}, {v, STEP_KILL, 0}, {SIM_R, STEP_FREE, 0}}};
  pairs(sc->name, &s, 0, 0, stride, 1, 0, 1);
}

/* The victim stops at i, a player at j, then the victim goes on for a while and is killed. */
static void kill_later(const scene *sc, uint8_t v, uint8_t p, uint32_t stride_v,
                       uint32_t stride_p) {
  for (uint32_t more = 1; more < 40; more = more * 2 + 1) {
    for (uint32_t i = more % stride_v; i < MOST_POINTS; i += stride_v) {
      schedule s = {.n = 4,
                    .s = {{v, STEP_ACCESS, i},
                          {p, STEP_ACCESS, 0},
                          {v, STEP_ACCESS, i + more},
                          {v, STEP_KILL, 0}}};
      sweep(sc->name, &s, 1, more % stride_p, stride_p, once);
      if (!hit[0]) break;
    }
  }
}

/* One who sleeps when alone: the other stops at i, the woken one goes on to j and is killed or, with
 * `kill` false, waits for the other to end. */
static void woken(const scene *sc, uint8_t sleeper, uint8_t other, uint32_t slept, uint32_t stride,
                  bool kill) {
  uint8_t third =
      (uint8_t)(3 - sleeper - other); /* sleeps, too, perhaps; not the first to be woken */
  schedule s = {.n = 5,
                .s = {{sleeper, STEP_FREE, 0},
                      {sc->body[third] ? third : sleeper, STEP_FREE, 0},
                      {other, STEP_ACCESS, 0},
                      {sleeper, STEP_ACCESS, 0},
                      {kill ? sleeper : other, kill ? STEP_KILL : STEP_FREE, 0}}};
  pairs(sc->name, &s, 2, 0, stride, 3, slept, kill ? 1 : 2);
}

/* The first stops at i, the third at j; the second, the first, and the second again go on, before the third
 * does: who was held up in the middle of something comes late into a world that has changed. */
static void late(const scene *sc, uint32_t stride_a, uint32_t stride_c) {
  schedule s = {.n = 6,
                .s = {{0, STEP_ACCESS, 0},
                      {2, STEP_ACCESS, 0},
                      {1, STEP_FREE, 0},
                      {0, STEP_FREE, 0},
                      {1, STEP_FREE, 0},
                      {2, STEP_FREE, 0}}};
  pairs(sc->name, &s, 0, 0, stride_a, 1, 0, stride_c);
}

/* The third stops at i, the second at j; when the first is done the third goes a little further, so that
 * what the second has seen is there again, and then the second goes on. */
static void as_it_was(const scene *sc) {
  const uint32_t most = 60, further = 12;
  for (uint32_t i = 1; i < most; i++) {
    for (uint32_t j = 1; j < most; j++) {
      schedule s = {.n = 6,
                    .s = {{2, STEP_ACCESS, i},
                          {1, STEP_ACCESS, j},
                          {0, STEP_FREE, 0},
                          {2, STEP_ACCESS, 0},
                          {1, STEP_FREE, 0},
                          {2, STEP_FREE, 0}}};
      for (uint32_t k = i + 1; k < i + further; k++) {
        s.s[3].n = k;
        attempt(sc->name, &s);
      }
      if (!hit[0]) return;
      if (!hit[1]) break;
    }
  }
}

/* The victim is killed at write k; a player comes as far as j; the dead is reaped; the player goes on. */
static void reap_between(const scene *sc, uint8_t v, uint8_t p, uint32_t stride_v,
                         uint32_t stride_p) {
  schedule s = {
      .n = 4,
      .s = {{v, STEP_WRITE, 0}, {v, STEP_KILL, 0}, {p, STEP_ACCESS, 0}, {SIM_R, STEP_FREE, 0}}};
  pairs(sc->name, &s, 0, 0, stride_v, 2, 0, stride_p);
}

/* The victim is killed at write k, its reaper at write r. */
static void kill_reaper(const scene *sc, uint8_t v, uint32_t stride) {
  schedule s = {
      .n = 4,
      .s = {{v, STEP_WRITE, 0}, {v, STEP_KILL, 0}, {SIM_R, STEP_WRITE, 0}, {SIM_R, STEP_KILL, 0}}};
  pairs(sc->name, &s, 0, 0, stride, 2, 0, 1);
}

/* -- random schedules: priorities with change points, kills, timeouts, signals --------------------- */

static void random_schedule(const scene *sc, uint64_t seed, schedule *s) {
  uint64_t x = seed * 2654435761u + 12345;
  unsigned players = sc->body[2] ? 3 : 2;
  unsigned n = 2 + pick(&x, 5);
  uint32_t at[SIM_MEMBERS] = {0};
  bool dead[SIM_MEMBERS] = {false};
  s->n = 0;
  for (unsigned i = 0; i < n; i++) {
    unsigned who = pick(&x, players + 1);
    if (who == players) who = pick(&x, 8) ? pick(&x, players) : SIM_R;
    if (dead[who]) continue;
    uint32_t step_most = pick(&x, 3) ? 40 : 200;
    at[who] += 1 + pick(&x, step_most);
    s->s[s->n++] = (step){(uint8_t)who, STEP_ACCESS, at[who]};
    uint32_t event = pick(&x, 12);
    bool victim = who == SIM_R || (sc->victims >> who & 1);
    if (event < 3 && victim) {
      s->s[s->n++] = (step){(uint8_t)who, STEP_KILL, 0};
      dead[who] = true;
    } else if (event == 3) {
      s->s[s->n++] = (step){(uint8_t)who, STEP_SIGNAL, 0};
    } else if (event == 4 && strstr(sc->name, "soon")) {
      s->s[s->n++] = (step){(uint8_t)who, STEP_TIMEOUT, 0};
    }
  }
}

static void random_family(const scene *sc, uint64_t first, uint64_t n) {
  for (uint64_t seed = first; seed < first + n; seed++) {
    schedule s;
    random_schedule(sc, seed, &s);
    if (!attempt(sc->name, &s) && here.violations <= 2) {
      printf("%s: seed %llu\n", sc->name, (unsigned long long)seed);
    }
  }
}

/* -- main --------------------------------------------------------------------------------------- */

static uint32_t stride_for(uint32_t n, uint32_t most) { return n / most + 1; }

static void explore_pair(const scene *sc, uint8_t v, uint8_t p, const extent *x, uint32_t most) {
  uint32_t stride_v = stride_for(x[v].accesses, most);
  uint32_t stride_p = stride_for(x[p].accesses, most);
  interleave(sc, v, p, stride_v, stride_p);
  bool victim = sc->victims >> v & 1;
  if (x[v].sleeps) woken(sc, v, p, x[v].accesses, stride_p, false);
  if (x[v].sleeps && victim) woken(sc, v, p, x[v].accesses, stride_p, true);
  if (!victim) return;
  kill_between(sc, v, p, stride_p);
  reap_before(sc, v, p, stride_p);
  kill_later(sc, v, p, stride_v * 2, stride_p * 2);
  reap_between(sc, v, p, stride_for(x[v].writes, most), stride_p);
}

static void explore(const scene *sc, unsigned scale, uint64_t seed) {
  extent x[3] = {{0}};
  schedule nothing = {.n = 0};
  if (!attempt(sc->name, &nothing)) return;
  for (unsigned i = 0; i < 3; i++) {
    if (sc->body[i]) x[i] = measure(i);
  }
  for (uint8_t v = 0; v < 3; v++) {
    if (!sc->body[v]) continue;
    for (uint8_t p = 0; p < 3; p++) {
      if (p != v && sc->body[p]) explore_pair(sc, v, p, x, 40 * scale);
    }
    if (!(sc->victims >> v & 1)) continue;
    kill_each(sc, v);
    kill_watched(sc, v);
    kill_reaper(sc, v, stride_for(x[v].writes, 16 * scale));
  }
  if (sc->body[2]) {
    late(sc, stride_for(x[0].accesses, 400 * scale), stride_for(x[2].accesses, 20 * scale));
  }
  if (strstr(sc->name, "vacancy")) as_it_was(sc);
  random_family(sc, seed, 1500 * scale);
}

static bool parse(const char *text, schedule *s) {
  static const char marks[] = "w!?~";
  s->n = 0;
  while (*text && s->n < STEPS_MAX) {
    while (*text == ' ') text++;
    const char *who = strchr(names, *text);
    if (!*text || !who) return *text == 0;
    step t = {(uint8_t)(who - names), STEP_FREE, 0};
    text++;
    const char *m = *text ? strchr(marks, *text) : NULL;
    if (m) {
      static const uint8_t ops[] = {STEP_WRITE, STEP_KILL, STEP_TIMEOUT, STEP_SIGNAL};
      t.op = ops[m - marks];
      text++;
    } else if (*text >= '0' && *text <= '9') {
      t.op = STEP_ACCESS;
    }
    if (t.op <= STEP_WRITE) t.n = (uint32_t)strtoul(text, (char **)(uintptr_t)&text, 10);
    s->s[s->n++] = t;
  }
  return true;
}

static int replay(const scene *sc, const char *text) {
  schedule s;
  if (!parse(text, &s)) return 2;
  sim_k.trace = true;
  const char *bad = run(&s);
  printf("%s: %s\n", sc->name, bad ? bad : "no violation");
  return bad != NULL;
}

static const scene *const scene_lists[] = {scenes,     array_scenes, lock_scenes, pipe_scenes,
                                           sem_scenes, wait_scenes,  dict_scenes};

static void visit(const scene *sc, unsigned scale, uint64_t seed) {
  struct timespec t0, t1;
  clock_gettime(CLOCK_MONOTONIC, &t0);
  memset(&here, 0, sizeof here);
  if (!set_up(sc)) {
    printf("%s: set-up: %s\n", sc->name, sim_k.failure);
    total.violations++;
    return;
  }
  explore(sc, scale, seed);
  clock_gettime(CLOCK_MONOTONIC, &t1);
  double t = (double)(t1.tv_sec - t0.tv_sec) + (double)(t1.tv_nsec - t0.tv_nsec) / 1e9;
  printf("%-18s %8llu schedules %8llu kills %5llu kill points %6llu violations %6.2f s\n", sc->name,
         (unsigned long long)here.schedules, (unsigned long long)here.kills,
         (unsigned long long)here.points, (unsigned long long)here.violations, t);
  fflush(stdout);
  total.schedules += here.schedules;
  total.kills += here.kills;
  total.points += here.points;
  total.violations += here.violations;
}

int main(int argc, char **argv) {
  unsigned scale = 1;
  uint64_t seed = 1;
  const char *again = NULL;
  int c;
  while ((c = getopt(argc, argv, "vfs:p:x:S:r:")) != -1) {
    if (c == 'v') verbose = true;
    if (c == 'f') stop_first = true;
    if (c == 's') only = optarg;
    if (c == 'p') prefix = optarg;
    if (c == 'x') scale = (unsigned)atoi(optarg);
    if (c == 'S') seed = strtoull(optarg, NULL, 10);
    if (c == 'r') again = optarg;
    if (c == '?') return 2;
  }
  for (unsigned i = 0; i < LMP_COUNT(scene_lists); i++) {
    for (const scene *sc = scene_lists[i]; sc->name; sc++) {
      if (only && strcmp(only, sc->name) != 0) continue;
      if (strncmp(sc->name, prefix, strlen(prefix)) != 0) continue;
      if (again) return set_up(sc) ? replay(sc, again) : 2;
      visit(sc, scale, seed);
    }
  }
  printf("%-18s %8llu schedules %8llu kills %5llu kill points %6llu violations\n", "all",
         (unsigned long long)total.schedules, (unsigned long long)total.kills,
         (unsigned long long)total.points, (unsigned long long)total.violations);
  return total.violations != 0;
}

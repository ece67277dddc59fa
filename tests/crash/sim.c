/* crash/sim.c: the simulated kernel, and os.h on it.
 * SPDX-License-Identifier: MIT */
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/debug.h"

/* The arena is put back after each schedule by chunks that were written. */
#define CHUNK_BITS 8
#define CHUNK (1u << CHUNK_BITS)
#define RUNAWAY UINT64_C(3000000) /* accesses of one member in one schedule */
#define LIFE_SLEEPERS 0x80000000u /* FUTEX_WAITERS */

sim sim_k;

static uint8_t *image;
static uint8_t *dirty;
static uint32_t *dirty_list;
static uint32_t ndirty;
static uint64_t sleeps;
static ucontext_t scheduler;
static uint8_t *stacks[SIM_MEMBERS];

/* What sim_reset puts back besides the arena. */
static struct {
  int byte_owner[SIM_PROCS];
  struct {
    lmp_arena a;
    lmp_me me;
    uint32_t refs[SIM_OBJS];
    uint32_t *life;
    void (*body)(sim_member *);
    sim_state state;
  } m[SIM_MEMBERS];
} saved;

/* -- memory ------------------------------------------------------------------------------------- */

static void mark(uint64_t off, size_t n) {
  for (uint64_t c = off >> CHUNK_BITS; c <= (off + n - 1) >> CHUNK_BITS; c++) {
    if (dirty[c]) continue;
    dirty[c] = 1;
    dirty_list[ndirty++] = (uint32_t)c;
  }
}

void sim_make(void) {
  lmp_arena_config c = {.memory = SIM_SPANS * LMP_SPAN,
                        .nproc = SIM_PROCS,
                        .nctx = SIM_CTXS,
                        .nbell = SIM_BELLS,
                        .nobj = SIM_OBJS};
  if (!sim_k.base) {
    sim_k.size = lmp_arena_size(&c);
    sim_k.base = aligned_alloc(LMP_SPAN, lmp_round_up(sim_k.size, LMP_SPAN));
    image = malloc(sim_k.size);
    dirty = calloc(sim_k.size >> CHUNK_BITS, 1);
    dirty_list = malloc((sim_k.size >> CHUNK_BITS) * sizeof *dirty_list);
    for (unsigned i = 0; i < SIM_MEMBERS; i++) stacks[i] = malloc(SIM_STACK);
  }
  memset(sim_k.base, 0, sim_k.size);
  memset(sim_k.byte_owner, 0, sizeof sim_k.byte_owner);
  memset(sim_k.socket, 0, sizeof sim_k.socket);
  memset(sim_k.m, 0, sizeof sim_k.m);
  sim_k.now = 100 * LMP_SEC;
  sim_k.cur = NULL;
  for (unsigned i = 0; i < SIM_MEMBERS; i++) {
    sim_member *m = &sim_k.m[i];
    if (i == 0) {
      lmp_arena_format(&m->a, sim_k.base, sim_k.size, &c);
    } else {
      m->a = sim_k.m[0].a;
    }
    m->a.refs = m->refs;
    m->a.fd = m->a.life_fd = -1;
    m->a.cpus = 1;
    m->tid = 1000 + i;
  }
}

void sim_save(void) {
  memcpy(image, sim_k.base, sim_k.size);
  memset(dirty, 0, sim_k.size >> CHUNK_BITS);
  ndirty = 0;
  memcpy(saved.byte_owner, sim_k.byte_owner, sizeof saved.byte_owner);
  for (unsigned i = 0; i < SIM_MEMBERS; i++) {
    sim_member *m = &sim_k.m[i];
    saved.m[i].a = m->a;
    saved.m[i].me = m->me;
    memcpy(saved.m[i].refs, m->refs, sizeof m->refs);
    saved.m[i].life = m->life;
    saved.m[i].body = m->body;
    saved.m[i].state = m->state;
  }
}

void sim_reset(void) {
  while (ndirty) {
    uint32_t c = dirty_list[--ndirty];
    dirty[c] = 0;
    memcpy(sim_k.base + ((uint64_t)c << CHUNK_BITS), image + ((uint64_t)c << CHUNK_BITS), CHUNK);
  }
  memcpy(sim_k.byte_owner, saved.byte_owner, sizeof saved.byte_owner);
  memset(sim_k.socket, 0, sizeof sim_k.socket); /* no scene begins with one */
  for (unsigned i = 0; i < SIM_MEMBERS; i++) {
    sim_member *m = &sim_k.m[i];
    m->a = saved.m[i].a;
    m->me = saved.m[i].me;
    memcpy(m->refs, saved.m[i].refs, sizeof m->refs);
    m->life = saved.m[i].life;
    m->body = saved.m[i].body;
    m->state = saved.m[i].state;
    m->started = m->queueing = false;
    m->accesses = m->writes = 0;
  }
  sim_k.now = 100 * LMP_SEC;
  sim_k.cur = NULL;
  sim_k.failure = NULL;
  sim_k.no_reserve = false;
}

/* -- members ------------------------------------------------------------------------------------ */

static void to_scheduler(void) {
  sim_member *m = sim_k.cur;
  swapcontext(&m->uc, &scheduler);
}

void sim_fail(const char *what) {
  if (!sim_k.failure) sim_k.failure = what;
  if (!sim_k.cur) longjmp(sim_k.out, 1);
  sim_k.cur->state = SIM_DEAD;
  to_scheduler();
  abort();
}

void sim_touch(const volatile void *p, size_t n, bool write, const void *from) {
  uint64_t off = (uint64_t)((const volatile uint8_t *)p - sim_k.base);
  if (off >= sim_k.size) return;
  if (n == 0) return;
  sim_member *m = sim_k.cur;
  if (m) {
    if (m->accesses == m->stop_access || (write && m->writes == m->stop_write)) to_scheduler();
    m->accesses++;
    m->writes += write;
    if (LMP_UNLIKELY(m->accesses > RUNAWAY)) sim_fail("a member runs for ever");
    if (LMP_UNLIKELY(sim_k.trace)) {
      fprintf(stderr, "  %td %s%5lu/%-4lu off %-7lx %p\n", m - sim_k.m, write ? "W" : "r",
              (unsigned long)m->accesses, (unsigned long)m->writes, (unsigned long)off, from);
    }
  }
  if (write) mark(off, n);
}

static void member_main(unsigned i) {
  sim_member *m = &sim_k.m[i];
  m->body(m);
  m->state = SIM_DONE;
  to_scheduler();
}

bool sim_run(unsigned i, uint64_t access, uint64_t write) {
  sim_member *m = &sim_k.m[i];
  if (m->state != SIM_READY) return false;
  m->stop_access = access;
  m->stop_write = write;
  sim_k.cur = m;
  if (!m->started) {
    m->started = true;
    getcontext(&m->uc);
    m->uc.uc_stack.ss_sp = stacks[i];
    m->uc.uc_stack.ss_size = SIM_STACK;
    m->uc.uc_link = NULL;
    makecontext(&m->uc, (void (*)(void))member_main, 1, i);
  }
  swapcontext(&scheduler, &m->uc);
  sim_k.cur = NULL;
  return m->state == SIM_READY;
}

void sim_run_all(void) {
  bool any = true;
  while (any) {
    any = false;
    for (unsigned i = 0; i < SIM_M; i++) {
      if (sim_k.m[i].state != SIM_READY) continue;
      sim_run(i, SIM_ALWAYS, SIM_ALWAYS);
      any = true;
    }
  }
}

void sim_process(unsigned i) {
  sim_member *m = &sim_k.m[i];
  uint32_t slot;
  m->state = SIM_DONE;
  sim_k.cur = m; /* whose system calls these are */
  m->stop_access = m->stop_write = SIM_ALWAYS;
  bool ok = lmp_proc_claim(&m->a, UINT32_MAX, &slot) == LMP_OK &&
            lmp_proc_enter(&m->a, slot, lmp_proc_gen(&m->a, slot)) == LMP_OK &&
            lmp_me_attach(&m->a, &m->me) == LMP_OK;
  sim_k.cur = NULL;
  m->accesses = m->writes = 0;
  if (!ok) sim_fail("set-up of a process");
}

bool sim_alive(uint32_t id) {
  for (unsigned i = 0; i < SIM_MEMBERS; i++) {
    sim_member *m = &sim_k.m[i];
    if (m->state != SIM_DEAD && m->state != SIM_ABSENT && m->me.id == id) return true;
  }
  return false;
}

/* -- futexes ------------------------------------------------------------------------------------ */

static bool sleeps_on(const sim_member *m, const uint32_t *word) {
  if (m->state != SIM_SLEEPING && !(m->queueing && m->state == SIM_READY)) return false;
  for (unsigned k = 0; k < m->nwords; k++) {
    if (m->words[k].word == word) return true;
  }
  return false;
}

static unsigned wake(const uint32_t *word, unsigned n) {
  unsigned woken = 0;
  while (woken < n) {
    sim_member *first = NULL;
    for (unsigned i = 0; i < SIM_MEMBERS; i++) {
      sim_member *m = &sim_k.m[i];
      if (sleeps_on(m, word) && (!first || m->since < first->since)) first = m;
    }
    if (!first) break;
    first->state = SIM_READY;
    first->woke = LMP_WOKEN;
    first->queueing = false;
    woken++;
  }
  return woken;
}

void sim_kill(unsigned i) {
  sim_member *m = &sim_k.m[i];
  m->state = SIM_DEAD;
  if (!m->life) return;
  mark((uint64_t)((uint8_t *)m->life - sim_k.base), sizeof *m->life);
  bool sleepers = *m->life & LIFE_SLEEPERS;
  *m->life = LMP_LIFE_DEAD | (sleepers ? LIFE_SLEEPERS : 0);
  if (sleepers) wake(m->life, 1);
  m->life = NULL;
}

void sim_bury(unsigned i) {
  for (unsigned k = 0; k < SIM_PROCS; k++) {
    if (sim_k.byte_owner[k] == (int)i + 1) sim_k.byte_owner[k] = 0;
  }
}

void sim_interrupt(unsigned i, lmp_woke woke) {
  sim_member *m = &sim_k.m[i];
  if (m->state != SIM_SLEEPING) return;
  m->state = SIM_READY;
  m->woke = woke;
}

lmp_woke lmp_os_futex_wait(const lmp_waitword *words, unsigned n, uint64_t deadline) {
  sim_member *m = sim_k.cur;
  if (n > LMP_COUNT(m->words)) sim_fail("waits for more words than the simulation knows");
  if (!m) { /* the checker */
    for (unsigned i = 0; i < n; i++) {
      if (*words[i].word != words[i].value) return LMP_CHANGED;
    }
    if (deadline > sim_k.now) sim_fail("the checker would sleep");
    return LMP_TIMED_OUT;
  }
  m->nwords = 0;
  m->since = ++sleeps;
  m->queueing = true;
  for (unsigned i = 0; i < n; i++) { /* as futex_waitv does: it may be woken between */
    sim_touch(words[i].word, sizeof(uint32_t), false, __builtin_return_address(0));
    if (!m->queueing) return LMP_WOKEN;
    if (*words[i].word != words[i].value) m->queueing = false;
    if (!m->queueing) return LMP_CHANGED;
    m->words[m->nwords++] = words[i];
  }
  m->queueing = false;
  if (deadline <= sim_k.now) return LMP_TIMED_OUT;
  m->state = SIM_SLEEPING;
  to_scheduler();
  return m->woke;
}

unsigned lmp_os_futex_wake(uint32_t *word, unsigned n) {
  if (n == 0) sim_fail("wakes nobody"); /* Linux would wake one */
  sim_touch(word, sizeof *word, true, __builtin_return_address(0));
  return wake(word, n);
}

/* -- bells -------------------------------------------------------------------------------------- */

#define BELL_FD 100

int sim_socket(const uint32_t *word) {
  for (unsigned i = 0; i < SIM_BELLS; i++) {
    if (word == &sim_k.socket[i].rings) return (int)i;
  }
  return -1;
}

/* Each call is a place to be killed at: the bell's entry, which it does not change. */
static void touch_bell(uint32_t number, const void *from) {
  sim_touch(sim_k.base + sim_k.m[0].a.h->hd_bell_off + number * sizeof(lmp_bell), 4, true, from);
}

int lmp_os_bell_open(const lmp_bell_id *id) {
  touch_bell(id->number, __builtin_return_address(0));
  sim_k.socket[id->number].gen = id->gen;
  sim_k.socket[id->number].rings = 0;
  return BELL_FD + (int)id->number;
}

void lmp_os_bell_ring(const lmp_bell_id *id) {
  touch_bell(id->number, __builtin_return_address(0));
  if (sim_k.socket[id->number].gen != id->gen) return;
  sim_k.socket[id->number].rings++;
  wake(&sim_k.socket[id->number].rings, UINT32_MAX);
}

void lmp_os_bell_drain(int fd) {
  touch_bell((uint32_t)(fd - BELL_FD), __builtin_return_address(0));
  sim_k.socket[fd - BELL_FD].rings = 0;
}

lmp_woke lmp_os_poll(lmp_pollfd *fds, size_t n, uint64_t deadline) {
  lmp_waitword w[2];
  unsigned k = 0;
  bool any = false;
  touch_bell(0, __builtin_return_address(0));
  for (size_t i = 0; i < n; i++) {
    fds[i].got = 0;
    if (fds[i].fd < BELL_FD) continue;
    uint32_t *rings = &sim_k.socket[fds[i].fd - BELL_FD].rings;
    if (*rings) fds[i].got = LMP_POLL_READ;
    any |= *rings != 0;
    if (k == LMP_COUNT(w)) sim_fail("polls more bells than the simulation knows");
    w[k++] = (lmp_waitword){rings, 0};
  }
  if (any) return LMP_WOKEN;
  if (deadline <= sim_k.now) return LMP_TIMED_OUT;
  if (k == 0) sim_fail("polls without a bell");
  lmp_woke woke = lmp_os_futex_wait(w, k, deadline);
  for (size_t i = 0; i < n && woke == LMP_WOKEN; i++) {
    if (fds[i].fd >= BELL_FD) fds[i].got = LMP_POLL_READ;
  }
  return woke == LMP_CHANGED ? LMP_WOKEN : woke;
}

/* -- the rest of os.h ---------------------------------------------------------------------------- */

uint64_t lmp_os_now(void) { return sim_k.now; }
void lmp_os_relax(void) {}
bool lmp_os_reserve(int fd, uint64_t off, uint64_t len) {
  (void)fd, (void)len;
  sim_touch(sim_k.base + off, 1, true, __builtin_return_address(0));
  return !sim_k.no_reserve;
}

bool lmp_os_punch(int fd, uint64_t off, uint64_t len) {
  (void)fd;
  sim_touch(sim_k.base + off, len, true, __builtin_return_address(0));
  memset(sim_k.base + off, 0, len);
  return true;
}

uint32_t *lmp_os_life_word(lmp_life *life) { return (uint32_t *)(void *)life; }

lmp_err lmp_os_life_take(lmp_life *life) {
  sim_member *m = sim_k.cur;
  uint32_t *word = lmp_os_life_word(life);
  sim_touch(life, sizeof *life, true, __builtin_return_address(0));
  memset(life, 0, sizeof *life);
  sim_touch(word, sizeof *word, true, __builtin_return_address(0));
  *word = m->tid;
  m->life = word;
  sim_touch(word, sizeof *word, true, __builtin_return_address(0));
  *word |= LIFE_SLEEPERS;
  return LMP_OK;
}

void lmp_os_life_drop(lmp_life *life) {
  uint32_t *word = lmp_os_life_word(life);
  sim_touch(word, sizeof *word, true, __builtin_return_address(0));
  *word = 0;
  sim_k.cur->life = NULL;
  wake(word, 1);
}

lmp_err lmp_os_byte_lock(int fd, uint64_t off) {
  (void)fd;
  sim_touch(sim_k.base + sizeof(lmp_hdr), 1, true,
            __builtin_return_address(0)); /* a place to be killed */
  if (sim_k.byte_owner[off]) return LMP_E_SYSTEM;
  sim_k.byte_owner[off] = (int)(sim_k.cur - sim_k.m) + 1;
  return LMP_OK;
}

void lmp_os_byte_unlock(int fd, uint64_t off) {
  (void)fd;
  sim_k.byte_owner[off] = 0;
}

int lmp_os_byte_held(int fd, uint64_t off) {
  (void)fd;
  sim_member *m = sim_k.cur ? sim_k.cur : &sim_k.m[SIM_M];
  return sim_k.byte_owner[off] && sim_k.byte_owner[off] != (int)(m - sim_k.m) + 1;
}

uint64_t lmp_os_boot_time(void) { return 1; }
int64_t lmp_os_pid(void) { return sim_k.cur ? (int64_t)sim_k.cur->tid : 1; }

/* lmp_arena_create is not used. */
unsigned lmp_os_cpus(void) { return 1; }
lmp_err lmp_os_memfd(const char *name, uint64_t size, bool seal, int *fd) {
  (void)name, (void)size, (void)seal, (void)fd;
  return LMP_E_SYSTEM;
}
lmp_err lmp_os_map(int fd, uint64_t size, void **base) {
  (void)fd, (void)size, (void)base;
  return LMP_E_SYSTEM;
}
void lmp_os_unmap(void *base, uint64_t size) { (void)base, (void)size; }
void lmp_os_close(int fd) {
  if (fd >= BELL_FD) sim_k.socket[fd - BELL_FD].gen = 0;
}
void lmp_os_random(void *p, size_t len) { memset(p, 1, len); }

void lmp_panic(const char *file, int line, const char *what) {
  static char text[200];
  const char *slash = strrchr(file, '/');
  snprintf(text, sizeof text, "%s:%d: %s does not hold", slash ? slash + 1 : file, line, what);
  sim_fail(text);
}

/* codec/bytecode.c: what a function of Lua 5.4 names, read from its dump.
 * SPDX-License-Identifier: MIT
 *
 * Design
 * The dump is a header and one function: source, lines, parameters, code, constants, upvalue
 * descriptions, inner functions, debug information (ldump.c of Lua 5.4 has the order).
 * A global `x` is the field "x" of the upvalue _ENV. That is one instruction, GETTABUP, while the
 * constant "x" is among the first 256 and short; otherwise it is GETUPVAL, LOADK and GETTABLE on two
 * registers. So the code is walked once from top to bottom with two facts per register: "holds the
 * table of globals", "holds constant n". The same walk sees `_G.x`, `local G = _G` and SELF. Jumps are
 * not followed: a fact is what the last instruction above left, which the compiler's own order of
 * emission makes right for the forms above. Which upvalues of an inner function hold the globals
 * follows from the registers at its CLOSURE instruction and from the outer function's upvalues. */
#include "codec/bytecode.h"

#include <stdlib.h>
#include <string.h>

#include "codec/format.h"

#define NREGS 256
#define NEST_MAX 220 /* Lua's own compiler stops at 200 nested functions */

enum { /* the opcodes that matter (lopcodes.h of Lua 5.4) */
       BC_MOVE = 0,
       BC_LOADK = 3,
       BC_LOADKX = 4,
       BC_LOADNIL = 8,
       BC_GETUPVAL = 9,
       BC_SETUPVAL = 10,
       BC_GETTABUP = 11,
       BC_GETTABLE = 12,
       BC_GETFIELD = 14,
       BC_SETTABUP = 15,
       BC_SETFIELD = 18,
       BC_SELF = 20,
       BC_MMBIN = 46,
       BC_MMBINK = 48,
       BC_CONCAT = 53,
       BC_CLOSE = 54,
       BC_TEST = 66,
       BC_CALL = 68,
       BC_TAILCALL = 69,
       BC_RETURN = 70,
       BC_RETURN1 = 72,
       BC_FORLOOP = 73,
       BC_TFORLOOP = 77,
       BC_SETLIST = 78,
       BC_CLOSURE = 79,
       BC_VARARG = 80,
       BC_VARARGPREP = 81,
       BC_EXTRAARG = 82
};

enum { /* the tags of constants (lobject.h) */
       BC_NIL = 0,
       BC_FALSE = 1,
       BC_INT = 3,
       BC_SHORT = 4,
       BC_TRUE = 17,
       BC_FLOAT = 19,
       BC_LONG = 20
};

typedef struct scan {
  const uint8_t *base, *p, *end;
  lmp_buf *out;
  lmp_err err;
} scan;

typedef struct regset {
  uint64_t bits[NREGS / 64];
} regset;

typedef struct proto {
  const uint8_t *code;
  size_t ncode;
  lmp_global_name *k; /* len SIZE_MAX: no string */
  size_t nk;
  bool env[NREGS]; /* by upvalue: holds the globals */
  regset *inner;   /* by inner function: registers with the globals at its CLOSURE */
  size_t ninner;
} proto;

typedef struct regs {
  regset env;
  uint32_t k[NREGS]; /* constant + 1 */
} regs;

static bool reg_has(const regset *s, unsigned r) { return s->bits[r / 64] >> (r % 64) & 1; }

static void reg_put(regset *s, unsigned r, bool on) {
  uint64_t bit = UINT64_C(1) << (r % 64);
  s->bits[r / 64] = on ? s->bits[r / 64] | bit : s->bits[r / 64] & ~bit;
}

/* ---- taking the dump apart ---- */

static bool scan_bad(scan *s) {
  if (s->err == LMP_OK) s->err = LMP_E_FORMAT;
  return false;
}

static bool take(scan *s, size_t n, const uint8_t **at) {
  if ((size_t)(s->end - s->p) < n) return scan_bad(s);
  *at = s->p;
  s->p += n;
  return true;
}

static bool skip(scan *s, size_t count, size_t size) {
  if (count > (size_t)(s->end - s->p) / size) return scan_bad(s);
  s->p += count * size;
  return true;
}

static bool take_byte(scan *s, unsigned *x) {
  const uint8_t *p;
  if (!take(s, 1, &p)) return false;
  *x = *p;
  return true;
}

/* Seven bits a byte, high ones first, the last byte marked. */
static bool take_size(scan *s, size_t *x) {
  size_t v = 0;
  unsigned byte;
  do {
    if (v > SIZE_MAX >> 8) return scan_bad(s);
    if (!take_byte(s, &byte)) return false;
    v = v << 7 | (byte & 0x7f);
  } while (byte < 0x80);
  *x = v;
  return true;
}

static bool take_string(scan *s, lmp_global_name *at) {
  size_t size;
  const uint8_t *p;
  if (!take_size(s, &size)) return false;
  if (size == 0) return *at = (lmp_global_name){.len = SIZE_MAX}, true;
  if (!take(s, size - 1, &p)) return false;
  *at = (lmp_global_name){.off = (size_t)(p - s->base), .len = size - 1};
  return true;
}

/* A count of things that take at least `size` bytes each. */
static bool take_count(scan *s, size_t size, size_t *n) {
  return take_size(s, n) && (*n <= (size_t)(s->end - s->p) / size || scan_bad(s));
}

static void *scan_alloc(scan *s, size_t n, size_t size) {
  void *p = calloc(n ? n : 1, size);
  if (!p) s->err = LMP_E_NOMEM;
  return p;
}

static bool take_constants(scan *s, proto *f) {
  unsigned tag;
  if (!take_count(s, 1, &f->nk)) return false;
  f->k = scan_alloc(s, f->nk, sizeof *f->k);
  if (!f->k) return false;
  for (size_t i = 0; i < f->nk; i++) {
    f->k[i].len = SIZE_MAX;
    if (!take_byte(s, &tag)) return false;
    switch (tag) {
      case BC_NIL:
      case BC_FALSE:
      case BC_TRUE:
        break;
      case BC_INT:
      case BC_FLOAT:
        if (!skip(s, 8, 1)) return false;
        break;
      case BC_SHORT:
      case BC_LONG:
        if (!take_string(s, &f->k[i])) return false;
        break;
      default:
        return scan_bad(s);
    }
  }
  return true;
}

static bool take_upvalues(scan *s, proto *f, const proto *outer, const regset *at_closure) {
  size_t n;
  if (!take_count(s, 3, &n) || n >= NREGS) return scan_bad(s);
  for (size_t i = 0; i < n; i++) {
    const uint8_t *d;
    if (!take(s, 3, &d)) return false;
    if (outer) f->env[i] = d[0] ? reg_has(at_closure, d[1]) : outer->env[d[1]];
  }
  return true;
}

static bool skip_sizes(scan *s, unsigned n) {
  size_t x;
  while (n-- > 0) {
    if (!take_size(s, &x)) return false;
  }
  return true;
}

static bool skip_debug(scan *s) {
  size_t n = 0;
  lmp_global_name name;
  if (!take_size(s, &n) || !skip(s, n, 1)) return false; /* lines, relative */
  if (!take_count(s, 2, &n)) return false;               /* lines, absolute */
  while (n--) {
    if (!skip_sizes(s, 2)) return false;
  }
  if (!take_count(s, 3, &n)) return false; /* local variables */
  while (n--) {
    if (!take_string(s, &name) || !skip_sizes(s, 2)) return false;
  }
  if (!take_count(s, 1, &n)) return false; /* names of upvalues */
  while (n--) {
    if (!take_string(s, &name)) return false;
  }
  return true;
}

/* ---- walking the code ---- */

static bool name_add(scan *s, const proto *f, size_t k, bool *is_g) {
  *is_g = false;
  if (k >= f->nk || f->k[k].len == SIZE_MAX) return true;
  *is_g = f->k[k].len == 2 && memcmp(s->base + f->k[k].off, "_G", 2) == 0;
  if (!lmp_buf_reserve(s->out, sizeof f->k[k])) return s->err = LMP_E_NOMEM, false;
  memcpy(s->out->data + s->out->len, &f->k[k], sizeof f->k[k]);
  s->out->len += sizeof f->k[k];
  return true;
}

static void reg_clear(regs *r, unsigned from, unsigned to) {
  for (unsigned i = from; i <= to && i < NREGS; i++) {
    reg_put(&r->env, i, false);
    r->k[i] = 0;
  }
}

/* The instructions that leave R[A] as it is. */
static bool keeps_a(unsigned op) {
  return op == BC_SETUPVAL || (op >= BC_SETTABUP && op <= BC_SETFIELD) ||
         (op >= BC_MMBIN && op <= BC_MMBINK) || (op >= BC_CLOSE && op <= BC_TEST) ||
         (op >= BC_TAILCALL && op <= BC_RETURN1) || op == BC_SETLIST || op >= BC_VARARGPREP;
}

static uint32_t instr(const proto *f, size_t pc) {
  uint32_t i;
  if (pc >= f->ncode) return BC_EXTRAARG;
  memcpy(&i, f->code + 4 * pc, 4);
  return i;
}

/* A read of field K[k] out of something that may be the globals, into R[a]. */
static bool read_field(scan *s, const proto *f, regs *r, unsigned a, bool from_env, size_t k) {
  bool is_g = false;
  if (from_env && !name_add(s, f, k, &is_g)) return false;
  reg_clear(r, a, a);
  reg_put(&r->env, a, is_g);
  return true;
}

static bool step(scan *s, const proto *f, regs *r, size_t pc) {
  uint32_t i = instr(f, pc), bx = i >> 15, kc;
  unsigned op = i & 0x7f, a = i >> 7 & 0xff, b = i >> 16 & 0xff, c = i >> 24;
  bool on, is_g;
  switch (op) {
    case BC_MOVE:
      reg_put(&r->env, a, reg_has(&r->env, b));
      r->k[a] = r->k[b];
      return true;
    case BC_LOADK:
    case BC_LOADKX:
      reg_clear(r, a, a);
      r->k[a] = (op == BC_LOADK ? bx : instr(f, pc + 1) >> 7) + 1;
      return true;
    case BC_LOADNIL:
      reg_clear(r, a, a + b);
      return true;
    case BC_GETUPVAL:
      reg_clear(r, a, a);
      reg_put(&r->env, a, f->env[b]);
      return true;
    case BC_GETTABUP:
      return read_field(s, f, r, a, f->env[b], c);
    case BC_GETFIELD:
      return read_field(s, f, r, a, reg_has(&r->env, b), c);
    case BC_GETTABLE:
      kc = r->k[c];
      return read_field(s, f, r, a, reg_has(&r->env, b) && kc, (size_t)kc - 1);
    case BC_SELF:
      on = reg_has(&r->env, b);
      kc = i >> 15 & 1 ? c + 1 : r->k[c];
      reg_clear(r, a, a + 1);
      return !on || !kc || name_add(s, f, kc - 1, &is_g);
    case BC_CLOSURE:
      if (bx < f->ninner) f->inner[bx] = r->env;
      reg_clear(r, a, a);
      return true;
    case BC_CONCAT:
    case BC_CALL:
    case BC_VARARG:
      reg_clear(r, a, NREGS - 1);
      return true;
    default:
      if (op >= BC_FORLOOP && op <= BC_TFORLOOP)
        reg_clear(r, a, NREGS - 1);
      else if (!keeps_a(op))
        reg_clear(r, a, a);
      return true;
  }
}

static bool walk_code(scan *s, const proto *f) {
  regs r = {0};
  for (size_t pc = 0; pc < f->ncode; pc++) {
    if (!step(s, f, &r, pc)) return false;
  }
  return true;
}

static bool take_function(scan *s, const proto *outer, const regset *at_closure, const bool *env,
                          size_t nenv, unsigned depth);

/* What follows the source name. */
static bool take_body(scan *s, proto *f, const proto *outer, const regset *at_closure,
                      unsigned depth) {
  if (!skip_sizes(s, 2) || !skip(s, 3, 1)) return false;
  if (!take_count(s, 4, &f->ncode) || !take(s, 4 * f->ncode, &f->code)) return false;
  if (!take_constants(s, f) || !take_upvalues(s, f, outer, at_closure)) return false;
  if (!take_count(s, 1, &f->ninner)) return false;
  f->inner = scan_alloc(s, f->ninner, sizeof *f->inner);
  if (!f->inner || !walk_code(s, f)) return false;
  for (size_t i = 0; i < f->ninner; i++) {
    if (!take_function(s, f, &f->inner[i], NULL, 0, depth + 1)) return false;
  }
  return skip_debug(s);
}

static bool take_function(scan *s, const proto *outer, const regset *at_closure, const bool *env,
                          size_t nenv, unsigned depth) {
  proto f = {0};
  lmp_global_name source;
  if (depth > NEST_MAX || !take_string(s, &source)) return scan_bad(s);
  for (size_t i = 0; i < nenv && i < NREGS; i++) f.env[i] = env[i];
  bool ok = take_body(s, &f, outer, at_closure, depth);
  free(f.k);
  free(f.inner);
  return ok;
}

static bool take_header(scan *s) {
  static const uint8_t head[] = "\x1bLua\x54\x00\x19\x93\r\n\x1a\n\x04\x08\x08";
  const uint64_t i = 0x5678, x = UINT64_C(0x4077280000000000); /* 370.5 */
  const uint8_t *p;
  if (!take(s, sizeof head - 1 + 16 + 1, &p)) return false;
  return (memcmp(p, head, sizeof head - 1) == 0 && memcmp(p + 15, &i, 8) == 0 &&
          memcmp(p + 23, &x, 8) == 0) ||
         scan_bad(s);
}

lmp_err lmp_bytecode_globals(const void *code, size_t len, const bool *env, size_t nenv,
                             lmp_buf *out) {
  const uint8_t *p = code;
  scan s = {.base = p, .p = p, .end = p + len, .out = out};
  if (take_header(&s)) (void)take_function(&s, NULL, NULL, env, nenv, 0);
  return s.err;
}

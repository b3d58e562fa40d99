/* SPDX-License-Identifier: Apache-2.0
 *
 * Exhaustive exploration of the lock-free core: every interleaving of a few processes, every death, and every value that the
 * memory model lets a load return, on the core's own C code.
 *
 * The core is compiled with -fsanitize=thread, which turns every atomic operation, fence and plain access into a call, and
 * linked with instrument.c in place of the sanitizer's runtime. Each operation on a word that two processes use is a point
 * where the search (search.c) decides who goes on; what an operation reads and writes is decided by a memory model (memory.c).
 * The operating system below the core is machine.c: futexes, pokes, no time. All memory of the core lies in the *world*,
 * which is put back before each execution.
 */
#ifndef TESTS_CORE_EXPLORE_EXPLORE_H
#define TESTS_CORE_EXPLORE_EXPLORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define XP_PROCESSES 5U

typedef struct xp_scenario {
  const char *name; /* the letters of the orderings that it is about, then what happens */
  void (*setup)(void);
  void (*run[XP_PROCESSES])(void); /* the processes; up to the first NULL */
  void (*check)(void);             /* at the end of every execution */
  void (*quiet)(void);             /* nobody can go on by himself: what the tick does. NULL: that is a lost wake */
  void (*stopped)(void);           /* with a process stopped, and nobody else able to go on: what must be true */
  uint32_t mortal;                 /* who may die, before any of its stores: a bit a process */
  uint32_t crashes;                /* how many at most */
  uint32_t stoppable;              /* who may be stopped until the others have done what they can */
  bool listens;                    /* somebody waits for pokes: they are points */
  bool time_passes;                /* the clock may jump at any look at it */
  bool may_read_behind; /* plain reads that race are allowed: the code asks afterwards whether they were right */
  uint32_t preemptions; /* 0: all interleavings. n: at most n - 1 switches away from a process that could go on */
} xp_scenario;

/* ---- for scenarios ---- */

/* Memory of the world, zeroed. In setup and in processes. */
void *xp_room(size_t bytes);
/* Relaxed accesses of this memory must be ordered like plain ones: its users never overlap. In setup. */
void xp_never_overlaps(const volatile void *at, size_t bytes);
/* Who runs: 0..., or XP_NOBODY in setup, check, quiet and stopped. */
uint32_t xp_me(void);
#define XP_NOBODY (XP_PROCESSES)
/* Wait until a process of `mask` has died and its stores are all to be seen. -> which; XP_NOBODY: all that live have ended.
 * Each death is given to one caller. */
uint32_t xp_await_death(uint32_t mask);
/* Wait for sh_os_eventfd_signal on the poke descriptor. False: nobody is left who could. */
bool xp_await_poke(void);
/* A point of its own, before something that the model does not see. */
void xp_step(const char *what);
bool xp_has_died(uint32_t process);

_Noreturn void xp_fail(const char *file, int line, const char *what, uint64_t a, uint64_t b);
#define XP_CHECK(x)                                       \
  do {                                                    \
    if (!(x))                                             \
      xp_fail(__FILE__, __LINE__, "not true: " #x, 0, 0); \
  } while (0)
#define XP_EQUAL(a, b)                                       \
  do {                                                       \
    uint64_t a_ = (uint64_t)(a), b_ = (uint64_t)(b);         \
    if (a_ != b_)                                            \
      xp_fail(__FILE__, __LINE__, #a " is not " #b, a_, b_); \
  } while (0)

extern const xp_scenario *const xp_scenarios[]; /* up to NULL */

/* ---- between the files of the explorer ---- */

#define XP_WORLD_BYTES (12ULL << 20)
extern uint8_t xp_world[XP_WORLD_BYTES];
static inline bool xp_in_world(const volatile void *p) {
  return (uintptr_t)p - (uintptr_t)xp_world < XP_WORLD_BYTES;
}

typedef enum xp_model { XP_SC, XP_TSO, XP_C11, XP_MODELS } xp_model;
extern const char *const xp_model_names[XP_MODELS];
extern xp_model xp_model_now;

typedef enum xp_kind {
  XP_LOAD,
  XP_STORE,
  XP_RMW, /* and a CAS that succeeds */
  XP_FENCE,
  XP_FUTEX_WAIT,
  XP_FUTEX_WAKE,
  XP_POKE,
  XP_STEP,
  XP_AWAIT,
  XP_FLUSH,
  XP_DIE,
  XP_STOP,
  XP_GO_ON,
  XP_QUIET,
} xp_kind;

/* search.c: the one who runs has reached an operation of `kind` at `word`; returns when it is its turn. */
void xp_point(xp_kind kind, const volatile void *word, const void *pc);
/* The same for an operation that nobody else can see: it goes on, or it dies or is stopped before it. */
void xp_pass(xp_kind kind, const volatile void *word, const void *pc);
/* A choice among n, 0 the usual one. */
uint32_t xp_choose(uint32_t n);
/* A line of the trace. */
void xp_note(xp_kind kind, const volatile void *word, uint64_t before, uint64_t after);
/* The word turned out to be shared: this execution does not count, the search begins again. */
void xp_begin_again(void);
/* The running process sleeps on a futex. False: nobody could go on, and its time ran out. */
bool xp_block(const volatile void *word, bool limited);
void xp_wake(const volatile void *word);
bool xp_exploring(void);
uint64_t xp_mix(uint64_t h, uint64_t v); /* views.c: for hashes */
const xp_scenario *xp_playing(void);
bool xp_lives(uint32_t process);

/* memory.c */
typedef uint64_t (*xp_change)(uint64_t before, uint64_t operand);
uint64_t xp_load(const volatile void *word, uint32_t bytes, int order, const void *pc);
void xp_store(volatile void *word, uint32_t bytes, uint64_t value, int order, const void *pc);
uint64_t xp_rmw(volatile void *word, uint32_t bytes, xp_change change, uint64_t operand, int order, const void *pc);
bool xp_cas(volatile void *word, uint32_t bytes, uint64_t *expected, uint64_t desired, int order, int failure,
            const void *pc);
void xp_fence(int order, const void *pc);
uint64_t xp_newest(const volatile void *word, uint32_t bytes); /* as the kernel sees it */
void xp_plain(const volatile void *at, size_t bytes, bool write, const void *pc);
void xp_memory_reset(void);    /* before an execution */
void xp_memory_settle(void);   /* everything buffered reaches memory */
uint64_t xp_memory_hash(void); /* of all that a future load may depend on */
bool xp_memory_pending(uint32_t process);
void xp_memory_flush(uint32_t process); /* its oldest buffered store */
void xp_memory_inherit(uint32_t from);  /* the running process has seen all that `from` did */
void xp_memory_forget_sharing(void);
uint32_t xp_memory_shared(void);

/* The explorer's own copies are not accesses of the core. */
void *__real_memcpy(void *to, const void *from, size_t bytes);
void *__real_memmove(void *to, const void *from, size_t bytes);
void *__real_memset(void *to, int value, size_t bytes);

/* instrument.c: pages of the world that were written */
void xp_dirty(const volatile void *at, size_t bytes);
void xp_world_seal(void);     /* after setup */
void xp_world_restore(void);  /* before an execution */
uint64_t xp_world_hash(void); /* of what differs from the sealed world */

#endif

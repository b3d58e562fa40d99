/* SPDX-License-Identifier: Apache-2.0
 *
 * The trace of an execution, and what is printed when one fails. */
#include "process.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_TRACE 20000U
#define SHOWN_TRACE 160U

typedef struct step {
  uint8_t process, kind;
  const volatile void *word;
  const void *pc;
  uint64_t before, after;
} step;
static step trace[MAX_TRACE];
static uint32_t trace_length;

void xp_trace_reset(void) {
  trace_length = 0;
}

void xp_note(xp_kind kind, const volatile void *word, uint64_t before, uint64_t after) {
  if (trace_length == MAX_TRACE)
    return;
  trace[trace_length++] = (step){.process = (uint8_t)xp_play.running,
                                 .kind = (uint8_t)kind,
                                 .word = word,
                                 .pc = xp_play.running < XP_PROCESSES ? xp_play.processes[xp_play.running].pc : NULL,
                                 .before = before,
                                 .after = after};
}

void xp_note_fate(uint32_t p, xp_kind kind) {
  uint32_t before = xp_play.running;
  xp_play.running = p;
  xp_note(kind, NULL, 0, 0);
  xp_play.running = before;
}

static const char *const kind_names[] = {"load", "store", "rmw",   "fence", "sleep", "wake",    "poke",
                                         "step", "await", "flush", "die",   "stop",  "goes on", "tick"};
static const char *const order_names[] = {"relaxed", "consume", "acquire", "release", "acq_rel", "seq_cst"};

/* file:line of every frame that was inlined at pc, innermost last. */
static void where(const void *pc, char *out, size_t bytes) {
  char command[128], line[512] = "";
  out[0] = 0;
  if (!pc)
    return;
  (void)snprintf(command, sizeof command, "addr2line -i -s -e /proc/%d/exe %p", (int)getpid(), pc);
  FILE *f = popen(command, "r");
  while (f && fgets(line, sizeof line, f)) {
    line[strcspn(line, " \n")] = 0;
    if (strncmp(line, "atomic.h", 8) != 0)
      (void)snprintf(out + strlen(out), bytes - strlen(out), "%s%s", out[0] ? " < " : "", line);
  }
  if (f)
    (void)pclose(f);
}

void xp_print_trace(void) {
  uint32_t first = trace_length > SHOWN_TRACE && !getenv("EXPLORE_WHOLE_TRACE") ? trace_length - SHOWN_TRACE : 0;
  for (uint32_t i = first; i < trace_length; i++) {
    const step *s = &trace[i];
    char at[512];
    if (s->process < XP_PROCESSES)
      fprintf(stderr, "  P%u %-7s", s->process, kind_names[s->kind]);
    else
      fprintf(stderr, "     %-7s", kind_names[s->kind]);
    if (s->kind == XP_STEP) {
      fprintf(stderr, " %s\n", (const char *)(uintptr_t)s->word);
      continue;
    }
    if (s->word)
      fprintf(stderr, " +%06zx", (size_t)((uintptr_t)s->word - (uintptr_t)xp_world));
    if (s->kind == XP_RMW)
      fprintf(stderr, " %llx -> %llx", (unsigned long long)s->before, (unsigned long long)s->after);
    else if (s->kind == XP_LOAD || s->kind == XP_STORE)
      fprintf(stderr, " %llx (%s)", (unsigned long long)s->after, s->before < 6U ? order_names[s->before] : "plain");
    where(s->pc, at, sizeof at);
    fprintf(stderr, "  %s\n", at);
  }
}

_Noreturn void xp_fail(const char *file, int line, const char *what, uint64_t a, uint64_t b) {
  if (xp_play.again && xp_play.running < XP_PROCESSES) { /* it does not count: a word was taken for unshared */
    xp_play.abandoned = true;
    xp_back_to_search();
  }
  if (xp_play.now)
    fprintf(stderr, "FAILED: %s [%s], process %u\n", xp_play.now->name, xp_model_names[xp_model_now], xp_play.running);
  if (xp_play.exploring || trace_length)
    xp_print_trace();
  fprintf(stderr, "%s:%d: %s (%llx, %llx)\n", file, line, what, (unsigned long long)a, (unsigned long long)b);
  xp_print_path();
  fflush(NULL);
  _exit(1);
}

static void on_signal(int number) {
  static volatile sig_atomic_t once;
  if (!once++)
    xp_fail("signal", number, number == SIGABRT ? "the core gave up" : "a fault", xp_play.running, 0);
  _exit(1);
}

void xp_catch_signals(void) {
  static uint8_t room[65536];
  stack_t s = {.ss_sp = room, .ss_size = sizeof room};
  struct sigaction a = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK | SA_NODEFER};
  (void)sigaltstack(&s, NULL);
  (void)sigaction(SIGABRT, &a, NULL);
  (void)sigaction(SIGSEGV, &a, NULL);
  (void)sigaction(SIGFPE, &a, NULL);
}

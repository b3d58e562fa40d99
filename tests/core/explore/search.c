/* SPDX-License-Identifier: Apache-2.0
 *
 * The search: at each point of a process it decides who goes on, who dies, who is stopped. Depth first; each execution starts
 * from the sealed world and repeats the choices of the path. A state that was seen before is not gone into again. A state is
 * the stack of each process, the world, and what the memory model knows. */
#include "process.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PATH 100000U
#define MAX_QUIET 4U

typedef struct choice {
  uint16_t chosen, n;
} choice;
static choice path[MAX_PATH];
static uint32_t path_length, path_at, prefix;
static xp_result result;
static uint64_t random_state; /* 0: depth first */

/* ---- choices ---- */

/* The usual choice half of the time, so that xp_play.processes run on for a while. */
static uint32_t next_random(uint32_t n) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  uint32_t r = (uint32_t)(random_state >> 20);
  return r & 1U ? 0 : (r >> 1) % n;
}

uint32_t xp_choose(uint32_t n) {
  if (n < 2U)
    return 0;
  if (path_at < path_length) {
    if (path[path_at].n == 0) /* from a command line */
      path[path_at].n = (uint16_t)n;
    if (path[path_at].n != n)
      xp_fail(__FILE__, __LINE__, "the explorer is not deterministic", path[path_at].n, n);
    return path[path_at++].chosen;
  }
  if (path_length == MAX_PATH)
    xp_fail(__FILE__, __LINE__, "a path is too long", path_length, 0);
  uint32_t chosen = random_state ? next_random(n) : 0;
  path[path_length++] = (choice){.chosen = (uint16_t)chosen, .n = (uint16_t)n};
  path_at++;
  return chosen;
}

static uint64_t state_now(void) {
  uint64_t h = xp_mix(xp_mix(xp_play.crashes_left, xp_play.stops_left), xp_play.n_quiet);
  for (uint32_t p = 0; p < xp_play.n_processes; p++) {
    xp_process *q = &xp_play.processes[p];
    h = xp_mix(h, xp_stack_hash(p) + q->answer);
    h = xp_mix(h, (uint64_t)q->status | (uint64_t)q->stopped << 8 | (uint64_t)q->was_stopped << 9 |
                      (uint64_t)q->reported << 10 | (uint64_t)q->limited << 11);
  }
  if (xp_play.now->preemptions)
    h = xp_mix(xp_mix(h, xp_play.last_run), xp_play.preemptions_left);
  return xp_mix(xp_mix(h, xp_world_hash()), xp_memory_hash());
}

/* ---- one execution ---- */

static bool anybody(uint32_t but, bool (*is)(const xp_process *)) {
  for (uint32_t p = 0; p < xp_play.n_processes; p++)
    if (p != but && is(&xp_play.processes[p]))
      return true;
  return false;
}
static bool can_go_on(const xp_process *p) {
  return p->status == XP_IS_READY && !p->stopped;
}
static bool can_kill_or_poke(const xp_process *p) {
  return p->status != XP_IS_ENDED && p->status != XP_IS_DEAD && p->status != XP_IS_AWAITS_DEATH &&
         p->status != XP_IS_AWAITS_POKE;
}
static bool is_stopped(const xp_process *p) {
  return p->stopped;
}

static bool writes(xp_kind kind) {
  return kind == XP_STORE || kind == XP_RMW || kind == XP_FUTEX_WAKE || kind == XP_POKE;
}

/* Give deaths to those who wait for them; when nobody is left who could die, say so. */
static void announce_deaths(void) {
  for (uint32_t w = 0; w < xp_play.n_processes; w++) {
    xp_process *waiter = &xp_play.processes[w];
    if (waiter->status != XP_IS_AWAITS_DEATH)
      continue;
    for (uint32_t p = 0; p < xp_play.n_processes && waiter->status == XP_IS_AWAITS_DEATH; p++)
      if ((waiter->mask & (1U << p)) && xp_play.processes[p].status == XP_IS_DEAD && !xp_play.processes[p].reported &&
          !xp_memory_pending(p)) {
        xp_play.processes[p].reported = true;
        waiter->answer = p;
        waiter->status = XP_IS_READY;
      }
    bool more = false;
    for (uint32_t p = 0; p < xp_play.n_processes; p++)
      more |= (waiter->mask & (1U << p)) && p != w && (xp_lives(p) || xp_memory_pending(p));
    if (waiter->status == XP_IS_AWAITS_DEATH && !more) {
      waiter->answer = XP_NOBODY;
      waiter->status = XP_IS_READY;
    }
  }
  if (!anybody(XP_NOBODY, can_kill_or_poke))
    for (uint32_t p = 0; p < xp_play.n_processes; p++)
      if (xp_play.processes[p].status == XP_IS_AWAITS_POKE) {
        xp_play.processes[p].answer = 0;
        xp_play.processes[p].status = XP_IS_READY;
      }
}

static void by_nobody(void (*what)(void)) {
  xp_memory_settle();
  xp_play.running = XP_NOBODY;
  if (what)
    what();
}

typedef struct option {
  xp_kind kind; /* XP_STEP: goes on */
  uint32_t process;
} option;

static uint32_t options_now(option *out) {
  uint32_t n = 0;
  bool last_can = xp_play.last_run < xp_play.n_processes && can_go_on(&xp_play.processes[xp_play.last_run]);
  if (last_can)
    out[n++] = (option){XP_STEP, xp_play.last_run};
  for (uint32_t p = 0; p < xp_play.n_processes; p++)
    if (p != xp_play.last_run && can_go_on(&xp_play.processes[p]) &&
        !(xp_play.now->preemptions && last_can && xp_play.preemptions_left == 0))
      out[n++] = (option){XP_STEP, p};
  for (uint32_t p = 0; p < xp_play.n_processes; p++)
    if (xp_memory_pending(p))
      out[n++] = (option){XP_FLUSH, p};
  for (uint32_t p = 0; p < xp_play.n_processes; p++) {
    if (!can_go_on(&xp_play.processes[p]))
      continue;
    if (xp_play.crashes_left && (xp_play.now->mortal & (1U << p)) && writes(xp_play.processes[p].next))
      out[n++] = (option){XP_DIE, p};
    if (xp_play.stops_left && (xp_play.now->stoppable & (1U << p)) && writes(xp_play.processes[p].next))
      out[n++] = (option){XP_STOP, p};
  }
  return n;
}

/* Nobody goes on by himself. False: it is over. */
static bool resolve_quiet(void) {
  if (xp_play.again)
    return false;
  if (anybody(XP_NOBODY, is_stopped)) {
    if (xp_play.now->quiet && xp_play.n_quiet < MAX_QUIET) {
      xp_play.n_quiet++;
      by_nobody(xp_play.now->quiet);
      return true;
    }
    by_nobody(xp_play.now->stopped);
    xp_play.n_quiet = 0;
    for (uint32_t p = 0; p < xp_play.n_processes; p++)
      if (xp_play.processes[p].stopped) {
        xp_play.processes[p].stopped = false;
        xp_note_fate(p, XP_GO_ON);
      }
    return true;
  }
  bool asleep = false;
  for (uint32_t p = 0; p < xp_play.n_processes; p++)
    if (xp_play.processes[p].status == XP_IS_ASLEEP && xp_play.processes[p].limited) {
      xp_play.processes[p].status = XP_IS_READY;
      xp_play.processes[p].answer = 1;
      return true;
    }
  for (uint32_t p = 0; p < xp_play.n_processes; p++)
    asleep |= xp_lives(p);
  if (!asleep)
    return false;
  if (!xp_play.now->quiet)
    xp_fail("search", 0, "a lost wake: nobody can go on", 0, 0);
  if (xp_play.n_quiet++ == MAX_QUIET)
    xp_fail("search", 0, "a lost wake: nobody can go on, and the tick does not help", 0, 0);
  xp_note(XP_QUIET, NULL, 0, 0);
  by_nobody(xp_play.now->quiet);
  return true;
}

static void execute(void) {
  option options[4U * XP_PROCESSES];
  xp_world_restore();
  xp_memory_reset();
  xp_trace_reset();
  for (xp_play.n_processes = 0; xp_play.n_processes < XP_PROCESSES && xp_play.now->run[xp_play.n_processes];
       xp_play.n_processes++)
    xp_process_open(xp_play.n_processes);
  xp_play.running = xp_play.last_run = XP_NOBODY;
  xp_play.crashes_left = xp_play.now->crashes;
  xp_play.stops_left = xp_play.now->stoppable != 0;
  xp_play.preemptions_left = xp_play.now->preemptions ? xp_play.now->preemptions - 1U : 0;
  path_at = xp_play.n_quiet = 0;
  xp_play.again = xp_play.abandoned = false;
  xp_play.exploring = true;
  for (;;) {
    announce_deaths();
    if (path_at >= prefix && !xp_play.again && !random_state && !xp_see(state_now()))
      break; /* all that comes was looked at from there */
    uint32_t n = options_now(options);
    if (n == 0) {
      if (!resolve_quiet())
        break;
      continue;
    }
    option o = options[xp_play.again ? 0 : xp_choose(n)];
    if (o.kind == XP_FLUSH) {
      xp_memory_flush(o.process);
    } else if (o.kind == XP_DIE) {
      xp_die(o.process);
    } else if (o.kind == XP_STOP) {
      xp_stop(o.process);
    } else {
      if (xp_play.last_run != o.process && xp_play.last_run < xp_play.n_processes &&
          can_go_on(&xp_play.processes[xp_play.last_run]) && xp_play.preemptions_left)
        xp_play.preemptions_left--;
      xp_go_on(o.process);
      result.steps++;
      if (xp_play.abandoned)
        break;
    }
  }
  bool over = true;
  for (uint32_t p = 0; p < xp_play.n_processes; p++)
    over &= !xp_lives(p);
  if (over && !xp_play.again) {
    by_nobody(NULL);
    xp_play.exploring = false;
    result.ends++;
    if (xp_play.now->check)
      xp_play.now->check();
  }
  xp_play.exploring = false;
  result.executions++;
}

static bool next_path(void) {
  while (path_length && path[path_length - 1U].chosen + 1U >= path[path_length - 1U].n)
    path_length--;
  if (path_length == 0)
    return false;
  path[path_length - 1U].chosen++;
  prefix = path_length;
  return true;
}

/* The words that this execution found to be shared change what a path means: begin with an empty one. */
static bool begin_again(void) {
  if (!xp_play.again)
    return false;
  result.restarts++;
  xp_forget_states();
  path_length = prefix = 0;
  return true;
}

static void begin(const xp_scenario *scenario, xp_model model) {
  xp_play.now = scenario;
  xp_model_now = model;
  xp_memory_forget_sharing();
  path_length = prefix = 0;
  __real_memset(&result, 0, sizeof result);
}

void xp_walk(const xp_scenario *scenario, xp_model model, uint64_t walks) {
  begin(scenario, model);
  random_state = 0x9E3779B97F4A7C15U;
  while (result.executions < walks) {
    execute();
    (void)begin_again();
    path_length = prefix = 0;
  }
  random_state = 0;
}

xp_result xp_search(const xp_scenario *scenario, xp_model model, uint64_t limit) {
  begin(scenario, model);
  for (bool more = true; more;) {
    execute();
    if (begin_again())
      continue;
    more = next_path();
    if (more && limit && result.executions >= limit) {
      result.cut_short = true;
      break;
    }
  }
  result.states = xp_states();
  result.words = xp_memory_shared();
  xp_forget_states();
  return result;
}

void xp_replay(const xp_scenario *scenario, xp_model model, uint32_t restarts, const char *choices) {
  begin(scenario, model);
  while (result.restarts < restarts) {
    execute();
    if (!begin_again() && !next_path())
      break;
  }
  for (const char *at = choices; *at; at += strspn(at, ".0123456789") ? strcspn(at, ".") : strlen(at), at += *at == '.')
    path[path_length++] = (choice){.chosen = (uint16_t)strtoul(at, NULL, 10), .n = 0};
  prefix = path_length;
  execute();
  xp_print_trace();
}

void xp_print_path(void) {
  fprintf(stderr, "again: --only '%s' --model %s", xp_play.now ? xp_play.now->name : "", xp_model_names[xp_model_now]);
  if (random_state) {
    fprintf(stderr, " --walks %llu\n", (unsigned long long)result.executions + 1U);
    return;
  }
  fprintf(stderr, " --replay %u:", result.restarts);
  for (uint32_t at = 0; at < path_at; at++)
    fprintf(stderr, "%s%u", at ? "." : "", path[at].chosen);
  fprintf(stderr, "\n");
}

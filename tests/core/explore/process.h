/* SPDX-License-Identifier: Apache-2.0
 *
 * The processes of the scenario that is played, as search.c and process.c see them. */
#ifndef TESTS_CORE_EXPLORE_PROCESS_H
#define TESTS_CORE_EXPLORE_PROCESS_H

#include "search.h"

typedef enum xp_status {
  XP_IS_READY,
  XP_IS_ASLEEP, /* on a futex */
  XP_IS_AWAITS_DEATH,
  XP_IS_AWAITS_POKE,
  XP_IS_ENDED,
  XP_IS_DEAD,
} xp_status;

typedef struct xp_process {
  void *stack_pointer;
  xp_status status;
  bool stopped, was_stopped, reported; /* reported: its death was given to somebody */
  xp_kind next;                        /* what it is about to do */
  const volatile void *word;
  const void *pc;
  uint64_t stack_hash;
  bool limited;    /* its sleep ends by itself */
  bool has_run;    /* since stack_hash was made */
  uint8_t *lowest; /* its stack was used down to here */
  uint32_t steps, mask, answer;
} xp_process;

typedef struct xp_stage {
  const xp_scenario *now;
  xp_process processes[XP_PROCESSES + 1U];
  uint32_t n_processes, running, last_run, crashes_left, stops_left, preemptions_left, n_quiet;
  bool exploring, again, abandoned; /* again: this execution does not count; abandoned: it cannot even be ended */
} xp_stage;
extern xp_stage xp_play;

void xp_process_open(uint32_t p);
void xp_go_on(uint32_t p); /* until its next point */
void xp_back_to_search(void);
/* What lies on a stack, registers included. What was left below it is cleared, so that equal states look alike. */
uint64_t xp_stack_hash(uint32_t p);
void xp_die(uint32_t p);
void xp_stop(uint32_t p);

/* trace.c */
void xp_trace_reset(void);
void xp_note_fate(uint32_t p, xp_kind kind);
void xp_print_trace(void);
/* search.c: how to come here again, for a failure */
void xp_print_path(void);

/* states.c: true if it is new */
bool xp_see(uint64_t state);
uint64_t xp_states(void);
void xp_forget_states(void);

#endif

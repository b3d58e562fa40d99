/* SPDX-License-Identifier: Apache-2.0
 *
 * Processes are coroutines: each runs up to its next operation on a shared word, or until it sleeps, dies or ends. */
#include "process.h"

#include <stdlib.h>

#define STACK_BYTES (256U << 10)
#define CLEAR_BYTES 4096U
#define MAX_STEPS 1500U /* of one process in one execution */

xp_stage xp_play;
static uint8_t stacks[XP_PROCESSES][STACK_BYTES] __attribute__((aligned(64)));
static void *search_stack;

/* ---- stacks ---- */

uint64_t xp_stack_hash(uint32_t index) {
  xp_process *p = &xp_play.processes[index];
  if (!p->has_run)
    return p->stack_hash;
  p->has_run = false;
  uint8_t *sp = p->stack_pointer, *top = stacks[index] + STACK_BYTES;
  uint64_t h = (uint64_t)(top - sp);
  for (; sp < top; sp += 8) {
    uint64_t v;
    __real_memcpy(&v, sp, 8);
    h = xp_mix(h, v);
  }
  return p->stack_hash = h;
}

static void clear_below(xp_process *p, uint32_t index) {
  uint8_t *sp = p->stack_pointer, *to = sp - CLEAR_BYTES;
  if (to < stacks[index])
    xp_fail(__FILE__, __LINE__, "a stack is too small", index, 0);
  __real_memset(to, 0, CLEAR_BYTES);
  if (to < p->lowest)
    p->lowest = to;
}

/* Save the caller's registers and stack in *from, go on where `to` was left. */
void xp_switch_stacks(void **from, void *to);
__asm__(".text\n"
        ".globl xp_switch_stacks\n"
        "xp_switch_stacks:\n"
        "push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
        "mov %rsp, (%rdi); mov %rsi, %rsp\n"
        "pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx; ret\n");

void xp_back_to_search(void) {
  xp_switch_stacks(&xp_play.processes[xp_play.running].stack_pointer, search_stack);
}

static void process_main(void) {
  xp_play.now->run[xp_play.running]();
  xp_play.processes[xp_play.running].status = XP_IS_ENDED;
  xp_back_to_search();
  abort();
}

void xp_process_open(uint32_t p) {
  uint64_t *top = (uint64_t *)(void *)(stacks[p] + STACK_BYTES);
  uint8_t *lowest = xp_play.processes[p].lowest ? xp_play.processes[p].lowest : stacks[p];
  __real_memset(lowest, 0, (size_t)(stacks[p] + STACK_BYTES - lowest));
  __real_memset(&xp_play.processes[p], 0, sizeof xp_play.processes[p]);
  xp_play.processes[p].lowest = stacks[p] + STACK_BYTES;
  xp_play.processes[p].has_run = true;
  *--top = 0;
  *--top = (uint64_t)(uintptr_t)process_main; /* `ret` leaves the stack as a call would */
  top -= 6;
  __real_memset(top, 0, 6U * sizeof *top);
  xp_play.processes[p].stack_pointer = top;
  xp_play.processes[p].next = XP_STEP;
}

void xp_go_on(uint32_t p) {
  xp_play.running = xp_play.last_run = p;
  xp_switch_stacks(&search_stack, xp_play.processes[p].stack_pointer);
  xp_play.running = XP_NOBODY;
  xp_play.processes[p].has_run = true;
  clear_below(&xp_play.processes[p], p);
}

/* ---- what the other files ask ---- */

uint32_t xp_me(void) {
  return xp_play.running;
}
const xp_scenario *xp_playing(void) {
  return xp_play.now;
}
bool xp_exploring(void) {
  return xp_play.exploring;
}
bool xp_lives(uint32_t p) {
  return p < xp_play.n_processes && xp_play.processes[p].status != XP_IS_ENDED &&
         xp_play.processes[p].status != XP_IS_DEAD;
}
bool xp_is_anybody_stopped(void) {
  bool any = false;
  for (uint32_t p = 0; p < xp_play.n_processes; p++)
    any |= xp_play.processes[p].stopped;
  return any;
}
bool xp_has_died(uint32_t p) {
  return xp_play.processes[p].status == XP_IS_DEAD;
}
bool xp_does_not_count(void) {
  return xp_play.again;
}
void xp_begin_again(void) {
  xp_play.again = true;
}

void xp_point(xp_kind kind, const volatile void *word, const void *pc) {
  xp_process *p = &xp_play.processes[xp_play.running];
  p->next = kind;
  p->word = word;
  p->pc = pc;
  if (++p->steps > MAX_STEPS)
    xp_fail(__FILE__, __LINE__, "it does not end", xp_play.running, p->steps);
  xp_back_to_search();
}

void xp_die(uint32_t p) {
  xp_play.processes[p].status = XP_IS_DEAD;
  xp_play.processes[p].stopped = false;
  xp_play.crashes_left--;
  xp_note_fate(p, XP_DIE);
}

void xp_stop(uint32_t p) {
  xp_play.processes[p].stopped = xp_play.processes[p].was_stopped = true;
  xp_play.stops_left--;
  xp_note_fate(p, XP_STOP);
}

void xp_pass(xp_kind kind, const volatile void *word, const void *pc) {
  xp_process *p = &xp_play.processes[xp_play.running];
  bool may_die = xp_play.crashes_left && (xp_play.now->mortal & (1U << xp_play.running)),
       may_stop = xp_play.stops_left && (xp_play.now->stoppable & (1U << xp_play.running));
  if (!may_die && !may_stop)
    return;
  uint32_t chosen = xp_play.again ? 0 : xp_choose(1U + may_die + may_stop);
  if (chosen == 0)
    return;
  p->next = kind;
  p->word = word;
  p->pc = pc;
  if (chosen == 1U && may_die)
    xp_die(xp_play.running);
  else
    xp_stop(xp_play.running);
  xp_back_to_search();
}

void xp_step(const char *what) {
  if (!xp_play.exploring || xp_play.running == XP_NOBODY)
    return;
  xp_point(XP_STEP, NULL, __builtin_return_address(0));
  xp_note(XP_STEP, what, 0, 0);
}

/* ---- sleeping and dying ---- */

bool xp_block(const volatile void *word, bool limited) {
  xp_process *p = &xp_play.processes[xp_play.running];
  p->word = word;
  p->status = XP_IS_ASLEEP;
  p->limited = limited;
  p->answer = 0;
  xp_back_to_search();
  bool woken = p->answer == 0;
  p->answer = 0;
  return woken;
}

void xp_wake(const volatile void *word) {
  for (uint32_t p = 0; p < xp_play.n_processes; p++)
    if (xp_play.processes[p].status == XP_IS_ASLEEP && xp_play.processes[p].word == word)
      xp_play.processes[p].status = XP_IS_READY;
}

uint32_t xp_await_death(uint32_t mask) {
  xp_process *p = &xp_play.processes[xp_play.running];
  p->mask = mask;
  p->status = XP_IS_AWAITS_DEATH;
  xp_back_to_search();
  if (p->answer != XP_NOBODY) {
    xp_memory_inherit(p->answer);
    xp_note(XP_AWAIT, NULL, p->answer, 0);
  }
  return p->answer;
}

void xp_poke(void) {
  for (uint32_t p = 0; p < xp_play.n_processes; p++)
    if (xp_play.processes[p].status == XP_IS_AWAITS_POKE)
      xp_play.processes[p].status = XP_IS_READY;
}

bool xp_sleep_for_poke(void) {
  xp_process *p = &xp_play.processes[xp_play.running];
  p->answer = 1;
  p->status = XP_IS_AWAITS_POKE;
  xp_back_to_search();
  return p->answer != 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "onlookers.h"

#include "base/os.h"

#define WITHIN_NS 100000000U
#define TICKS (WITHIN_NS / SH_TICK_NS)

typedef struct sleeper {
  sh_self *self;
  uint32_t seq;
  bool parked;
} sleeper;
static sleeper sleepers[RIG_WORKERS + 1U];
static uint32_t n_sleepers;

static void park(sleeper *p) {
  p->seq = sh_park_prepare(&p->self->me->park);
  sh_park_announce(&p->self->me->park, p->seq);
  sh_idle_announce(p->self);
  p->parked = true;
}

static void unpark(sleeper *p) {
  sh_park_cancel(&p->self->me->park);
  sh_idle_withdraw(p->self);
  p->parked = false;
}

void onlookers_park(stage *s) {
  sh_self *all[] = {&s->r.worker[0], &s->r.worker[1], &s->r.worker[2], &s->r.worker[3], &s->actor};
  n_sleepers = 0;
  for (uint32_t i = 0; i < sizeof all / sizeof *all; i++)
    if (all[i] != s->victim && !all[i]->seated_run) {
      sleepers[n_sleepers] = (sleeper){.self = all[i]};
      park(&sleepers[n_sleepers++]);
    }
}

static bool let_the_woken_work(void) {
  bool any = false;
  for (uint32_t i = 0; i < n_sleepers; i++) {
    sleeper *p = &sleepers[i];
    if (sh_park_prepare(&p->self->me->park) == p->seq)
      continue;
    any = true;
    unpark(p);
    while (rig_work(p->self)) {
    }
    park(p);
  }
  return any;
}

/* Until nobody is woken, and nobody pokes the repair thread. */
static void settle(stage *s) {
  while (let_the_woken_work() || sh_os_eventfd_drain(s->r.d.poke_fd))
    rig_rounds(&s->r, 1);
}

bool onlookers_go_on(stage *s, uint32_t extra_tasks) {
  if (s->slot && s->r.worker[2].seated_run) {
    rig_finish(&s->r.worker[2], s->slot);
    while (rig_work(&s->r.worker[2])) {
    }
  }
  for (uint32_t i = 0; i < extra_tasks; i++)
    stage_promise_add(s, rig_submit_one(&s->r, 300 + i, NULL, 0), 300 + i, false);
  settle(s);
  for (uint32_t tick = 0; tick < TICKS; tick++) {
    rig_tick(&s->r);
    settle(s);
  }
  return stage_is_kept_without_victim(s);
}

void onlookers_leave(void) {
  for (uint32_t i = 0; i < n_sleepers; i++)
    unpark(&sleepers[i]);
  n_sleepers = 0;
}

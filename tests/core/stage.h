/* SPDX-License-Identifier: Apache-2.0
 *
 * Scenarios for processes that die or stop in the middle of an operation. Each says what the survivors prepare, what the
 * victim does, and, through promises, what must come true afterwards whatever happened to the victim.
 */
#ifndef TESTS_CORE_STAGE_H
#define TESTS_CORE_STAGE_H

#include "rig.h"

#define STAGE_PROMISES 24U
#define STAGE_ERROR UINT64_MAX /* the value of a promise that becomes an error, whoever makes it one */
#define LARGE 100000U          /* a run */
#define BLOCK 1000U

typedef enum stage_role { STAGE_WORKER, STAGE_DRIVER, STAGE_ACTOR, STAGE_LOGGING_ACTOR } stage_role;

typedef struct stage_promise { /* an object that the surviving driver holds and watches */
  sh_ref ref;
  uint64_t value;
  bool by_victim; /* the victim may have claimed what makes it: it fails with it, or waits for it while it is stopped */
} stage_promise;

typedef struct stage stage;
struct stage {
  rig r;
  sh_self actor, peer; /* an actor; a second driver of the job */
  uint32_t actor_class;
  sh_self *victim;
  stage_promise promises[STAGE_PROMISES];
  uint32_t n_promises;
  sh_ref dropped;       /* an object that the driver drops in stage_finish, if it has not been dropped for it before */
  sh_ref given;         /* an object that the victim may take a reference to */
  uint32_t slot;        /* what the victim claimed before the curtain rose */
  bool minds;           /* the surviving driver sleeps, and is to be told of errors */
  uint32_t seq;         /* since it had been woken so often */
  bool independent;     /* no task waits for another: a stopped victim delays one of them */
  uint32_t seat_holder; /* class + 1 of an actor that has all CPUs but one, until stage_finish */
  sh_ref withheld;      /* a return that worker 2 has filled, and commits in stage_finish */
  uint32_t withheld_slot;
  sh_self *sleepers[RIG_WORKERS + 2U];
  uint32_t n_sleepers;
  bool (*is_told)(stage *s); /* what the victim left in its record for others to read is right */
  /* The victim is an actor, and is swept: another process follows it, does what is left and may stay. NULL: none does. */
  void (*follow)(stage *s);
  /* What others do at the very moment before the victim's store, in a build with hooks: they write to shared memory only. */
  void (*meddle)(stage *s, const volatile void *word);
};

typedef struct scenario {
  const char *name;
  stage_role role;
  void (*prepare)(stage *s); /* by the survivors, nothing is interrupted */
  void (*act)(stage *s);     /* by the victim */
} scenario;

uint32_t stage_n_scenarios(void);
const scenario *stage_scenario(uint32_t i);

void stage_open(stage *s);
void stage_close(stage *s);
/* Set the scene on an open stage: fresh clients in place of those that are gone, and what the scenario prepares. */
void stage_set(stage *s, const scenario *which);
typedef enum stage_fate {
  STAGE_LIVED,  /* the victim came to the end of its act */
  STAGE_DIED,   /* killed in it */
  STAGE_DAMAGED /* killed, and its sweep was interrupted: what the repair thread knows in private may be wrong */
} stage_fate;
/* The victim plays its part in this process. */
void stage_has_pid(stage *s, uint32_t pid);
/* The victim is gone. The survivors finish everything; all promises are kept; nothing is left over (unless damaged). */
void stage_finish(stage *s, stage_fate fate);
/* What must be true while the victim is stopped: promises are kept, except those that wait for a task which it has claimed
 * and not committed, or, if it is an actor, for its calls. */
bool stage_is_kept_without_victim(stage *s);
void stage_promise_add(stage *s, sh_ref ref, uint64_t value, bool by_victim);
/* Submit a call like this one; of the rig's class and with one return unless it says otherwise. -> the first return. */
sh_ref stage_submit(stage *s, sh_self *by, const rig_call *like);
/* A survivor sleeps until stage_finish: it is woken, and does nothing about it. */
void stage_sleep(stage *s, sh_self *self);

#endif

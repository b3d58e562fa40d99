/* SPDX-License-Identifier: Apache-2.0
 *
 * A task that may have another attempt, run by worker 0, and what it calls: for the programs that test children. */
#ifndef TESTS_CORE_FAMILY_H
#define TESTS_CORE_FAMILY_H

#include "node/children.h"
#include "rig.h"

static rig r;
static sh_self actor;
static uint32_t actor_class;
static uint32_t slot; /* of the parent, which worker 0 runs */
static sh_ref out;

/* Its children may be in front of it. */
static inline void run_parent(void) {
  while ((slot = rig_claim(&r.worker[0])) != rig_task_of(&r, out).index)
    rig_finish(&r.worker[0], slot);
}

static inline void begin_as(const rig_call *like) {
  rig_open(&r, 2, 2);
  actor_class = rig_actor(&r, &actor);
  rig_call call = *like;
  call.class_id = r.class_id;
  call.n_returns = 1;
  rig_submit(&r.driver, &call, &out);
  run_parent();
}

static inline void begin(uint32_t max_retries) {
  begin_as(&(rig_call){.max_retries = max_retries});
}

static inline uint64_t parent(void) {
  return sh_ref_pack(rig_task_of(&r, out));
}

static inline void end(void) {
  rig_detach(&r, &actor);
  rig_close_empty(&r, &out, 1);
}

/* The n-th call of the parent, with these SH_SLOT_* too. */
static inline void call_as(uint32_t n, uint32_t class_id, uint32_t n_returns, const sh_ref *dep, uint32_t flags,
                           sh_ref *made) {
  sh_self *w = &r.worker[0];
  const sh_slot *t = sh_slot_at(&r.d.seg, slot);
  rig_call c = {
      .class_id = class_id, .n_returns = n_returns, .deps = dep, .n_deps = dep ? 1U : 0U, .function = 70U + n};
  c.flags = flags | (class_id == actor_class ? SH_SLOT_ACTOR_CALL : 0U);
  w->task_id = (sh_id128){.lo = t->id_lo, .hi = t->id_hi};
  w->task_counter = n;
  w->parent = t->max_retries ? parent() : 0;
  rig_submit(w, &c, made);
  w->parent = 0;
}

/* -> its first return, if it has one. */
static inline sh_ref call(uint32_t n, uint32_t class_id, uint32_t n_returns, const sh_ref *dep) {
  sh_ref made[2] = {{0}};
  call_as(n, class_id, n_returns, dep, 0, made);
  return made[0];
}

/* Worker 0 is killed, and runs the parent again. */
static inline void die(void) {
  rig_replace(&r, &r.worker[0]);
  run_parent();
}

static inline uint32_t children(sh_child *found, uint32_t max) {
  uint32_t n = sh_repair_children(&r.d, r.worker[0].index, r.worker[0].epoch, rig_task_of(&r, out), found, max);
  for (uint32_t i = 0; i < n && i < max; i++)
    EXPECT_EQ(sh_ref_adopt(&r.worker[0], found[i].r), SH_OK);
  return n;
}

static inline void finish_parent(void) {
  uint64_t task = parent();
  rig_finish(&r.worker[0], slot);
  sh_children_end(&r.worker[0], task);
}

#endif

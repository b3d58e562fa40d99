/* SPDX-License-Identifier: Apache-2.0 */
#include "stage.h"

#include "node/known.h"

void stage_promise_add(stage *s, sh_ref ref, uint64_t value, bool by_victim) {
  EXPECT(s->n_promises < STAGE_PROMISES);
  s->promises[s->n_promises++] = (stage_promise){.ref = ref, .value = value, .by_victim = by_victim};
  sh_status status = sh_watch(&s->r.driver, ref);
  EXPECT(status == SH_OK || status == SH_EMPTY);
}

void stage_open(stage *s) {
  memset(s, 0, sizeof *s);
  rig_open(&s->r, 4, 4);
}

void stage_close(stage *s) {
  sh_self *others[] = {&s->actor, &s->peer};
  for (uint32_t i = 0; i < 2; i++)
    if (others[i]->open)
      rig_detach(&s->r, others[i]);
  rig_close(&s->r);
}

void stage_set(stage *s, const scenario *which) {
  s->n_promises = s->slot = 0;
  s->independent = s->minds = false;
  s->meddle = NULL;
  s->is_told = NULL;
  s->follow = NULL;
  if (!s->r.worker[0].open)
    rig_attach(&s->r, &s->r.worker[0], SH_ROLE_WORKER, -1, RIG_ROOT);
  if (!s->peer.open)
    rig_attach(&s->r, &s->peer, SH_ROLE_DRIVER, -1, RIG_ROOT);
  if (!s->actor.open)
    s->actor_class =
        which->role == STAGE_LOGGING_ACTOR ? rig_logging_actor(&s->r, &s->actor) : rig_actor(&s->r, &s->actor);
  s->victim = which->role == STAGE_WORKER ? &s->r.worker[0] : which->role == STAGE_DRIVER ? &s->peer : &s->actor;
  static const uint64_t sizes[] = {8, BLOCK, LARGE};
  for (uint32_t i = 0; i < 3; i++) /* bystanders: nobody may touch them */
    stage_promise_add(s, rig_put(&s->r.driver, 200 + i, sizes[i]), 200 + i, false);
  which->prepare(s);
}

static bool is_kept(stage *s, const stage_promise *p, bool may_fail) {
  if (!rig_is_closed(&s->r.driver, p->ref))
    return false;
  uint64_t flags = sh_load_relaxed(&sh_entry_at(&s->r.d.seg, p->ref.index)->size_flags);
  if (p->value == STAGE_ERROR)
    return flags & SH_VALUE_ERROR;
  if (flags & SH_VALUE_ERROR) {
    uint32_t code = rig_error(&s->r.driver, p->ref);
    return may_fail && p->by_victim &&
           (code == SH_ERR_WORKER_DIED || code == SH_ERR_ACTOR_DIED || code == SH_ERR_ACTOR_UNAVAILABLE);
  }
  return (flags & SH_VALUE_HAS_REFS) || rig_value(&s->r.driver, p->ref) == p->value;
}

static bool victim_holds_a_task(stage *s) {
  const sh_segment *seg = &s->r.d.seg;
  uint32_t end = sh_pool_used_chunks(seg, SH_POOL_SLOT) * sh_pool_of(seg, SH_POOL_SLOT)->chunk_records;
  for (uint32_t i = 0; i < end; i++) {
    uint64_t word = sh_load_acquire(&sh_slot_at(seg, i)->word);
    uint32_t state = sh_word_state(word);
    bool held = state == SH_TASK_CLAIMED || sh_task_has_begun(state);
    if (held && sh_word_who(word) == s->victim->index)
      return true;
  }
  return s->victim == &s->actor;
}

/* Who minds errors has been woken if there is one. */
static bool is_told(stage *s) {
  bool any = false;
  for (uint32_t i = 0; i < s->n_promises; i++)
    any |= rig_is_closed(&s->r.driver, s->promises[i].ref) && rig_error(&s->r.driver, s->promises[i].ref);
  return !s->minds || !any || sh_park_prepare(&s->r.driver.me->park) != s->seq;
}

bool stage_is_kept_without_victim(stage *s) {
  bool excused = victim_holds_a_task(s);
  uint32_t late = 0;
  if (!is_told(s))
    return false;
  for (uint32_t i = 0; i < s->n_promises; i++) {
    if (is_kept(s, &s->promises[i], false))
      continue;
    if (!excused || !s->promises[i].by_victim)
      return false;
    late++;
  }
  return late <= 1 || !s->independent;
}

static void survivors_work(stage *s) {
  for (uint32_t again = 0; again < 3; again++) {
    if (s->actor.open)
      while (rig_work(&s->actor)) {
      }
    rig_work_all(&s->r);
  }
}

void stage_sleep(stage *s, sh_self *self) {
  sh_park_announce(&self->me->park, sh_park_prepare(&self->me->park));
  if (self->role != SH_ROLE_DRIVER)
    sh_idle_announce(self);
  s->sleepers[s->n_sleepers++] = self;
}

static void awake(stage *s) {
  for (; s->n_sleepers; s->n_sleepers--) {
    sh_self *self = s->sleepers[s->n_sleepers - 1U];
    sh_park_cancel(&self->me->park);
    if (self->role != SH_ROLE_DRIVER)
      sh_idle_withdraw(self);
  }
}

static void count_fired(void *context, sh_ref ref) {
  (void)ref;
  ++*(uint32_t *)context;
}

/* Room is given once: what is written now must not show through in what was there before. */
static void store_is_sound(stage *s) {
  enum { N = 24 };
  sh_ref more[N];
  static const uint64_t sizes[] = {8, 100, BLOCK, 40000, LARGE};
  for (uint32_t i = 0; i < N; i++)
    more[i] = rig_put(&s->r.driver, i, sizes[i % 5U]);
  for (uint32_t i = 0; i < N; i++)
    EXPECT_EQ(rig_value(&s->r.driver, more[i]), i);
  for (uint32_t i = 0; i < s->n_promises; i++)
    EXPECT(is_kept(s, &s->promises[i], true));
  for (uint32_t i = 0; i < N; i++)
    sh_ref_drop(&s->r.driver, more[i]);
}

void stage_has_pid(stage *s, uint32_t pid) {
  sh_known_client(&s->r.d, s->victim->index)->x_pid = pid;
  (void)sh_publish_client(&s->r.d, s->victim->index);
}

static void release_seats(stage *s) {
  sh_system_error end = {.code = SH_ERR_ACTOR_DIED, .wait_status = -1};
  sh_repair_close_class(&s->r.d, s->seat_holder - 1U, &end);
  s->seat_holder = 0;
}

static void release_withheld(stage *s) {
  EXPECT_EQ(sh_commit(&s->r.worker[2], s->withheld_slot), SH_OK);
  sh_ref_drop(&s->r.driver, s->withheld);
  s->withheld = (sh_ref){0};
}

void stage_finish(stage *s, stage_fate fate) {
  uint32_t index = s->victim->index, open = 0, fired = 0;
  EXPECT(!s->is_told || s->is_told(s));
  awake(s);
  if (s->seat_holder)
    release_seats(s);
  if (s->withheld.generation)
    release_withheld(s);
  sh_self_close(s->victim);
  sh_repair_round(&s->r.d, (int32_t)index);
  if (s->follow)
    s->follow(s);
  if (s->victim == &s->actor) { /* as the daemon does when an actor is gone */
    if (s->actor.open)
      rig_detach(&s->r, &s->actor);
    sh_system_error end = {.code = SH_ERR_ACTOR_DIED, .class_id = s->actor_class, .wait_status = -1};
    sh_repair_close_class(&s->r.d, s->actor_class, &end);
  }
  if (s->slot && s->r.worker[2].seated_run)
    rig_finish(&s->r.worker[2], s->slot);
  survivors_work(s);
  sh_ref_drop(&s->r.driver, s->dropped);
  s->dropped = (sh_ref){0};
  for (uint32_t i = 0; i < s->n_promises; i++)
    if (!is_kept(s, &s->promises[i], fate != STAGE_LIVED || s->victim == &s->actor))
      rig_fail(__FILE__, __LINE__, "a promise was not kept", i, s->promises[i].value);
  EXPECT(is_told(s));
  if (s->minds) {
    sh_park_cancel(&s->r.driver.me->park);
    sh_mind_errors(&s->r.driver, false);
  }
  store_is_sound(s);
  for (uint32_t i = 0; i < s->n_promises; i++)
    open += s->r.driver.local[s->promises[i].ref.index].waiter != 0;
  sh_drain_fired(&s->r.driver, count_fired, &fired);
  EXPECT_EQ(fired, open); /* who watched has been told */
  for (uint32_t i = 0; i < s->n_promises; i++)
    sh_ref_drop(&s->r.driver, s->promises[i].ref);
  if (fate == STAGE_DAMAGED)
    EXPECT(sh_repair_is_valid(&s->r.d));
  else
    rig_expect_empty(&s->r);
}

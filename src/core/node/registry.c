/* SPDX-License-Identifier: Apache-2.0
 *
 * Clients and classes come and go: each record is made and ended here, first in what the daemon knows of it. */
#include "node/call_log.h"
#include "node/cancel.h"
#include "node/group.h"
#include "node/known.h"
#include "node/look.h"
#include "node/task.h"

#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

sh_status sh_repair_register(sh_repair *d, uint32_t pid, int pidfd, uint32_t role, int32_t class_id, uint32_t root,
                             uint32_t crew, uint32_t *index, uint32_t *epoch) {
  int copy = pidfd >= 0 ? fcntl(pidfd, F_DUPFD_CLOEXEC, 3) : -1;
  if (pidfd >= 0 && copy < 0)
    return SH_OS;
  pthread_mutex_lock(&d->lock);
  uint32_t i = 1;
  while (i < SH_MAX_CLIENTS && sh_known_client(d, i)->x_state != SH_CLIENT_FREE)
    i++;
  if (i == SH_MAX_CLIENTS) {
    pthread_mutex_unlock(&d->lock);
    if (copy >= 0)
      close(copy);
    return SH_FULL;
  }
  sh_client *c = sh_client_at(&d->seg, i), *k = sh_known_client(d, i);
  uint32_t next = k->x_epoch + 1U;
  sh_store_relaxed(&c->x_lease, 0);
  sh_store_relaxed(&c->op, 0);
  sh_store_relaxed(&c->x_current, 0);
  sh_store_relaxed(&c->x_room_wanted, 0);
  sh_store_relaxed(&c->x_waits, 0);
  sh_store_relaxed(&c->x_awaits, SH_AWAITS_NOTHING);
  sh_store_relaxed(&c->x_allowance, 0);
  sh_store32_relaxed(&c->park.x_parked, 0);
  if (class_id >= 0 && d->actors[class_id].gpu_mask)
    sh_store_relaxed(&c->x_lease, sh_lease((uint32_t)class_id, 0, d->actors[class_id].gpu_mask));
  *k = (sh_client){.x_state = SH_CLIENT_LIVE,
                   .x_epoch = next,
                   .x_pid = pid,
                   .x_role = role,
                   .x_class = class_id >= 0 ? (uint32_t)class_id : 0U,
                   .x_root = root,
                   .x_crew = crew ? crew : root};
  (void)sh_publish_client(d, i);
  d->damaged_logs[i] = false;
  if (i + 1U > d->clients_high)
    d->clients_high = i + 1U;
  (void)sh_publish_header(d);
  if (class_id >= 0) {
    sh_known_class(d, (uint32_t)class_id)->x_taker = i + 1U;
    (void)sh_publish_class(d, (uint32_t)class_id);
  }
  d->pidfds[i] = copy;
  if (copy >= 0) {
    struct epoll_event e = {.events = EPOLLIN, .data.u64 = i};
    (void)epoll_ctl(d->epoll_fd, EPOLL_CTL_ADD, copy, &e);
  }
  pthread_mutex_unlock(&d->lock);
  *index = i;
  *epoch = next;
  return SH_OK;
}

void sh_repair_fence(sh_repair *d, uint32_t index, uint32_t epoch) {
  if (index == 0 || index >= SH_MAX_CLIENTS)
    return;
  pthread_mutex_lock(&d->lock);
  sh_client *k = sh_known_client(d, index);
  if (k->x_epoch == epoch && k->x_state == SH_CLIENT_LIVE) {
    k->x_fenced = 1U;
    (void)sh_publish_client(d, index);
    (void)sh_park_wake(&sh_client_at(&d->seg, index)->park);
  }
  pthread_mutex_unlock(&d->lock);
}

static uint32_t stored_priority(const sh_shape *shape) {
  return (uint32_t)(shape->priority + (int32_t)SH_PRIORITY_USUAL);
}

static uint32_t crew_of(const sh_shape *shape) {
  return shape->crew ? shape->crew : shape->root;
}

static bool same_shape(sh_class *c, const sh_shape *shape) {
  if (sh_load32_relaxed(&c->root) != shape->root || sh_load32_relaxed(&c->crew) != crew_of(shape) ||
      sh_load32_relaxed(&c->cpu_milli) != shape->cpu_milli || sh_load32_relaxed(&c->gpu_milli) != shape->gpu_milli ||
      sh_load32_relaxed(&c->n_demands) != shape->n_demands ||
      sh_load32_relaxed(&c->priority) != stored_priority(shape) || c->room != sh_room(shape->group, shape->bundle) ||
      c->tag != shape->tag)
    return false;
  for (uint32_t i = 0; i < shape->n_demands; i++)
    if (sh_load32_relaxed(&c->demands[i].kind) != shape->kinds[i] ||
        sh_load32_relaxed(&c->demands[i].milli) != shape->milli[i])
      return false;
  return true;
}

static bool is_single_class(const sh_class *c) {
  return c->kind == SH_CLASS_ACTOR || c->kind == SH_CLASS_GROUP;
}

static bool is_room(const sh_repair *d, const sh_shape *shape) {
  if (shape->group == 0)
    return shape->bundle == 0;
  const sh_group *g = shape->group <= SH_MAX_CLASSES ? d->groups[shape->group - 1U] : NULL;
  return g && !g->is_removed && shape->bundle <= g->n_bundles; /* its number may be another group's before long */
}

sh_status sh_define(sh_repair *d, const sh_shape *shape, sh_class_kind kind, uint32_t *class_id) {
  bool is_single = kind == SH_CLASS_ACTOR || kind == SH_CLASS_GROUP;
  sh_demand others = {.n = shape->n_demands};
  memcpy(others.kinds, shape->kinds, sizeof others.kinds);
  if (!sh_demand_is_sound(&others) || !is_room(d, shape))
    return SH_INVALID;
  uint32_t found = SH_MAX_CLASSES;
  for (uint32_t i = 0; i < SH_MAX_CLASSES; i++) {
    sh_class *c = sh_known_class(d, i);
    uint64_t word = sh_load_relaxed(&c->word);
    if (sh_word_state(word) == SH_CLASS_LIVE) {
      if (!is_single && !is_single_class(c) && same_shape(c, shape)) {
        *class_id = i;
        return SH_OK;
      }
    } else if (found == SH_MAX_CLASSES && sh_word_state(word) == SH_FREE) {
      found = i;
      if (is_single)
        break;
    }
  }
  for (uint32_t i = 0; found == SH_MAX_CLASSES && i < SH_MAX_CLASSES; i++)
    if (sh_word_state(sh_load_relaxed(&sh_known_class(d, i)->word)) == SH_CLASS_CLOSED &&
        sh_known_class(d, i)->x_unreferenced && !sh_known_class(d, i)->x_taker)
      found = i; /* closed, without a process, and no handle is left that could call it */
  if (found == SH_MAX_CLASSES)
    return SH_FULL;
  sh_class *k = sh_known_class(d, found);
  uint32_t generation = sh_word_generation(k->word) + 1U;
  *k = (sh_class){.word = sh_word(generation, SH_CLASS_LIVE, 0, 0),
                  .kind = kind,
                  .root = shape->root,
                  .cpu_milli = shape->cpu_milli,
                  .gpu_milli = shape->gpu_milli,
                  .n_demands = shape->n_demands,
                  .priority = stored_priority(shape),
                  .crew = crew_of(shape),
                  .room = sh_room(shape->group, shape->bundle),
                  .tag = shape->tag,
                  .logs = shape->logs};
  d->ranked |= shape->priority != 0;
  for (uint32_t i = 0; i < shape->n_demands; i++) {
    k->demands[i].kind = shape->kinds[i];
    k->demands[i].milli = shape->milli[i];
  }
  sh_lineup_leave(d->lineup, found);
  d->starved_since[found] = d->starved_told[found] = 0;
  d->actors[found] = (sh_claims){0};
  for (uint32_t w = 0; w < sh_claims_words(&d->seg); w++)
    if (sh_load_relaxed(sh_called_word(&d->seg, found, w * 64U)))
      sh_store_relaxed(sh_called_word(&d->seg, found, w * 64U), 0);
  if (found >= d->classes_high)
    d->classes_high = found + 1U;
  (void)sh_publish_header(d);
  (void)sh_publish_class(d, found);
  *class_id = found;
  return SH_OK;
}

sh_status sh_repair_define_class(sh_repair *d, const sh_shape *shape, uint32_t *class_id) {
  sh_class_kind kind = SH_CLASS_LEASE;
  if (shape->group == 0 && shape->gpu_milli == 0 && shape->n_demands == 0 &&
      (shape->cpu_milli == 0 || shape->cpu_milli == SH_CPU_MILLI))
    kind = shape->cpu_milli ? SH_CLASS_SEAT : SH_CLASS_FREE_RUN;
  pthread_mutex_lock(&d->lock);
  sh_status status = sh_define(d, shape, kind, class_id);
  pthread_mutex_unlock(&d->lock);
  return status;
}

sh_status sh_repair_define_actor(sh_repair *d, const sh_shape *shape, uint32_t *class_id) {
  pthread_mutex_lock(&d->lock);
  sh_status status = sh_define(d, shape, SH_CLASS_ACTOR, class_id);
  pthread_mutex_unlock(&d->lock);
  return status;
}

void sh_repair_set_restarts(sh_repair *d, uint32_t class_id, bool restarts, uint32_t incarnation) {
  if (class_id >= SH_MAX_CLASSES)
    return;
  pthread_mutex_lock(&d->lock);
  sh_class *k = sh_known_class(d, class_id);
  k->x_restarts = restarts;
  k->x_incarnation = incarnation;
  (void)sh_publish_class(d, class_id);
  pthread_mutex_unlock(&d->lock);
}

bool sh_repair_reserve_actor(sh_repair *d, uint32_t class_id, uint32_t *gpu_mask) {
  if (class_id >= SH_MAX_CLASSES)
    return false;
  pthread_mutex_lock(&d->lock);
  bool granted = sh_lease_actor(d, class_id, gpu_mask);
  pthread_mutex_unlock(&d->lock);
  return granted;
}

static bool of_class(const sh_slot *t, uint32_t class_id) {
  return sh_slot_class(t) == class_id;
}
static bool of_root(const sh_slot *t, uint32_t root) {
  return sh_peek(&t->root) == root;
}

void sh_repair_close_class(sh_repair *d, uint32_t class_id, const sh_system_error *end) {
  if (class_id >= SH_MAX_CLASSES)
    return;
  pthread_mutex_lock(&d->lock);
  sh_class *k = sh_known_class(d, class_id);
  if (sh_word_state(k->word) == SH_CLASS_LIVE) {
    k->end = *end;
    k->word = sh_word(sh_word_generation(k->word), SH_CLASS_CLOSED, 0, 0);
    (void)sh_publish_class(d, class_id);
    uint32_t taker = k->x_taker;
    if (taker)
      (void)sh_park_wake(&sh_client_at(&d->seg, taker - 1U)->park);
    sh_lease_end_actor(d, class_id);
  }
  sh_fence(); /* the closed class, then the scan; against a submitter's READY, then its look at the class */
  bool actor = k->kind == SH_CLASS_ACTOR;
  sh_sweep_fail(d, of_class, class_id, actor ? sh_called_word(&d->seg, class_id, 0) : NULL, end);
  (void)sh_counts_work(&d->counts, SH_WORK_NS);
  pthread_mutex_unlock(&d->lock);
}

void sh_repair_fail_class(sh_repair *d, uint32_t class_id, const sh_system_error *end) {
  if (class_id >= SH_MAX_CLASSES)
    return;
  pthread_mutex_lock(&d->lock);
  sh_class *k = sh_known_class(d, class_id);
  if (sh_word_state(k->word) == SH_CLASS_LIVE && k->kind != SH_CLASS_ACTOR) {
    sh_sweep_fail(d, of_class, class_id, NULL, end);
    (void)sh_counts_work(&d->counts, SH_WORK_NS);
    sh_drop_stale_hints(d, class_id); /* or it would look as if somebody waited */
  }
  pthread_mutex_unlock(&d->lock);
}

void sh_repair_end_root(sh_repair *d, uint32_t root) {
  sh_system_error error = {.code = SH_ERR_ROOT_ENDED, .wait_status = -1};
  pthread_mutex_lock(&d->lock);
  for (uint32_t i = 0; i < SH_MAX_CLASSES; i++) {
    sh_class *k = sh_known_class(d, i);
    if (k->root == root && k->kind == SH_CLASS_LEASE && sh_word_state(k->word) == SH_CLASS_CLOSED)
      k->x_unreferenced = 1U; /* of a removed group: from here on nobody can submit to it */
    if (sh_word_state(k->word) != SH_CLASS_LIVE || k->root != root)
      continue;
    bool actor = k->kind == SH_CLASS_ACTOR;
    /* A task class may be defined again at once: nobody holds a handle to it. */
    if (!actor)
      sh_fetch_and(&d->seg.header->x_task_classes[i / 64U], ~(1ULL << (i % 64U)));
    k->end = error;
    k->x_unreferenced = 1U;
    k->word = sh_word(sh_word_generation(k->word), SH_CLASS_CLOSED, 0, 0);
    (void)sh_publish_class(d, i);
    if (actor)
      sh_lease_end_actor(d, i);
  }
  sh_fence(); /* the closed classes, then the scan; against a submitter's READY, then its look at the class */
  sh_sweep_fail(d, of_root, root, NULL, &error);
  for (uint32_t i = 0; i < d->classes_high; i++) {
    const sh_class *k = sh_known_class(d, i);
    if (k->root == root && k->logs)
      sh_log_end_all(d, i); /* others' calls, too: their roots go on */
  }
  (void)sh_counts_work(&d->counts, SH_WORK_NS);
  pthread_mutex_unlock(&d->lock);
}

sh_status sh_repair_set_capacity(sh_repair *d, uint32_t kind, uint32_t milli) {
  if (kind >= SH_MAX_KINDS)
    return SH_INVALID;
  pthread_mutex_lock(&d->lock);
  if (kind == 0)
    sh_ledger_set_gpus(&d->ledger, milli / SH_WHOLE_MILLI);
  else
    d->ledger.capacity[kind] = milli;
  pthread_mutex_unlock(&d->lock);
  return SH_OK;
}

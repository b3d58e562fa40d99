/* SPDX-License-Identifier: Apache-2.0
 *
 * Scheduling classes, actors and jobs: how they begin and end, and what the node has to give. Their records have one writer,
 * the daemon. */
#include "base/os.h"
#include "node/idle.h"
#include "node/repair.h"
#include "node/seat.h"
#include "node/task.h"

static bool same_shape(sh_class *c, const sh_shape *shape) {
  if (sh_load32_relaxed(&c->root) != shape->root || sh_load32_relaxed(&c->cpu_milli) != shape->cpu_milli ||
      sh_load32_relaxed(&c->gpu_milli) != shape->gpu_milli || sh_load32_relaxed(&c->n_demands) != shape->n_demands)
    return false;
  for (uint32_t i = 0; i < shape->n_demands; i++)
    if (sh_load32_relaxed(&c->demands[i].kind) != shape->kinds[i] ||
        sh_load32_relaxed(&c->demands[i].milli) != shape->milli[i])
      return false;
  return true;
}

static sh_status define(sh_repair *d, const sh_shape *shape, sh_class_kind kind, uint32_t *class_id) {
  if (shape->n_demands > SH_MAX_DEMANDS)
    return SH_INVALID;
  for (uint32_t i = 0; i < shape->n_demands; i++)
    if (shape->kinds[i] >= SH_MAX_KINDS || shape->kinds[i] == 0)
      return SH_INVALID;
  uint32_t found = SH_MAX_CLASSES;
  for (uint32_t i = 0; i < SH_MAX_CLASSES; i++) {
    sh_class *c = sh_class_at(&d->seg, i);
    uint64_t word = sh_load_relaxed(&c->word);
    if (sh_word_state(word) == SH_CLASS_LIVE) {
      if (kind != SH_CLASS_ACTOR && sh_load32_relaxed(&c->kind) != SH_CLASS_ACTOR && same_shape(c, shape)) {
        *class_id = i;
        return SH_OK;
      }
    } else if (found == SH_MAX_CLASSES && sh_word_state(word) == SH_FREE) {
      found = i;
      if (kind == SH_CLASS_ACTOR)
        break;
    }
  }
  for (uint32_t i = 0; found == SH_MAX_CLASSES && i < SH_MAX_CLASSES; i++)
    if (sh_word_state(sh_load_relaxed(&sh_class_at(&d->seg, i)->word)) == SH_CLASS_CLOSED &&
        sh_load32_relaxed(&sh_class_at(&d->seg, i)->x_unreferenced))
      found = i; /* closed, and no handle is left that could call it */
  if (found == SH_MAX_CLASSES)
    return SH_FULL;
  sh_class *c = sh_class_at(&d->seg, found);
  sh_store32_relaxed(&c->kind, kind);
  sh_store32_relaxed(&c->root, shape->root);
  sh_store32_relaxed(&c->cpu_milli, shape->cpu_milli);
  sh_store32_relaxed(&c->gpu_milli, shape->gpu_milli);
  sh_store32_relaxed(&c->n_demands, shape->n_demands);
  for (uint32_t i = 0; i < shape->n_demands; i++) {
    sh_store32_relaxed(&c->demands[i].kind, shape->kinds[i]);
    sh_store32_relaxed(&c->demands[i].milli, shape->milli[i]);
  }
  sh_store32_relaxed(&c->x_taker, 0);
  sh_store32_relaxed(&c->x_unreferenced, 0);
  d->starved_since[found] = d->starved_told[found] = 0;
  d->actors[found] = (sh_claims){0};
  if (found >= sh_load32_relaxed(&d->seg.header->x_classes_high))
    sh_store32_seqcst(&d->seg.header->x_classes_high, found + 1U);
  sh_store_release(&c->word, sh_word(sh_word_generation(sh_load_relaxed(&c->word)) + 1U, SH_CLASS_LIVE, 0, 0));
  *class_id = found;
  return SH_OK;
}

sh_status sh_repair_define_class(sh_repair *d, const sh_shape *shape, uint32_t *class_id) {
  sh_class_kind kind = SH_CLASS_LEASE;
  if (shape->gpu_milli == 0 && shape->n_demands == 0 && (shape->cpu_milli == 0 || shape->cpu_milli == SH_CPU_MILLI))
    kind = shape->cpu_milli ? SH_CLASS_SEAT : SH_CLASS_FREE_RUN;
  pthread_mutex_lock(&d->lock);
  sh_status status = define(d, shape, kind, class_id);
  pthread_mutex_unlock(&d->lock);
  return status;
}

sh_status sh_repair_define_actor(sh_repair *d, const sh_shape *shape, uint32_t *class_id) {
  pthread_mutex_lock(&d->lock);
  sh_status status = define(d, shape, SH_CLASS_ACTOR, class_id);
  pthread_mutex_unlock(&d->lock);
  return status;
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
  return t->class_id == class_id;
}
static bool of_root(const sh_slot *t, uint32_t root) {
  return t->root == root;
}

void sh_repair_close_class(sh_repair *d, uint32_t class_id, const sh_system_error *end) {
  if (class_id >= SH_MAX_CLASSES)
    return;
  pthread_mutex_lock(&d->lock);
  sh_class *c = sh_class_at(&d->seg, class_id);
  uint64_t word = sh_load_relaxed(&c->word);
  if (sh_word_state(word) == SH_CLASS_LIVE) {
    c->end = *end;
    sh_store_release(&c->word, sh_word(sh_word_generation(word), SH_CLASS_CLOSED, 0, 0));
    uint32_t taker = sh_load32_relaxed(&c->x_taker);
    if (taker)
      (void)sh_park_wake(&sh_client_at(&d->seg, taker - 1U)->park);
    sh_lease_end_actor(d, class_id);
  }
  sh_fence(); /* the closed class, then the scan; against a submitter's READY, then its look at the class */
  sh_sweep_fail(d, of_class, class_id, false, end);
  (void)sh_counts_work(&d->counts, SH_WORK_NS);
  pthread_mutex_unlock(&d->lock);
}

void sh_repair_end_root(sh_repair *d, uint32_t root) {
  sh_system_error error = {.code = SH_ERR_ROOT_ENDED, .wait_status = -1};
  pthread_mutex_lock(&d->lock);
  for (uint32_t i = 0; i < SH_MAX_CLASSES; i++) {
    sh_class *c = sh_class_at(&d->seg, i);
    uint64_t word = sh_load_relaxed(&c->word);
    if (sh_word_state(word) != SH_CLASS_LIVE || sh_load32_relaxed(&c->root) != root)
      continue;
    bool actor = sh_load32_relaxed(&c->kind) == SH_CLASS_ACTOR;
    /* A task class may be defined again at once: nobody holds a handle to it. */
    if (!actor)
      sh_fetch_and(&d->seg.header->x_task_classes[i / 64U], ~(1ULL << (i % 64U)));
    c->end = error;
    sh_store32_relaxed(&c->x_unreferenced, 1U);
    sh_store_release(&c->word, sh_word(sh_word_generation(word), SH_CLASS_CLOSED, 0, 0));
    if (actor)
      sh_lease_end_actor(d, i);
  }
  sh_fence(); /* the closed classes, then the scan; against a submitter's READY, then its look at the class */
  sh_sweep_fail(d, of_root, root, false, &error);
  (void)sh_counts_work(&d->counts, SH_WORK_NS);
  pthread_mutex_unlock(&d->lock);
}

sh_status sh_repair_set_capacity(sh_repair *d, uint32_t kind, uint32_t milli) {
  if (kind >= SH_MAX_KINDS)
    return SH_INVALID;
  pthread_mutex_lock(&d->lock);
  d->capacity[kind] = milli;
  pthread_mutex_unlock(&d->lock);
  return SH_OK;
}

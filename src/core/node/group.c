/* SPDX-License-Identifier: Apache-2.0 */
#include "node/group.h"

#include "base/os.h"
#include "node/cancel.h"
#include "node/known.h"

#include <stdlib.h>

static sh_group *group_at(const sh_repair *d, uint32_t class_id) {
  return class_id < SH_MAX_CLASSES ? d->groups[class_id] : NULL;
}

sh_status sh_repair_define_group(sh_repair *d, const sh_demand *bundles, uint32_t n, uint32_t *class_id) {
  if (n == 0 || n > SH_MAX_BUNDLES)
    return SH_INVALID;
  uint64_t cpu = 0;
  for (uint32_t i = 0; i < n; i++) {
    if (!sh_demand_is_sound(&bundles[i]))
      return SH_INVALID;
    cpu += bundles[i].cpu_milli;
  }
  sh_group *g = calloc(1, sizeof *g + n * sizeof *g->bundles);
  if (!g)
    return SH_FULL;
  g->n_bundles = n;
  for (uint32_t i = 0; i < n; i++)
    g->bundles[i].demand = bundles[i];
  sh_shape shape = {.cpu_milli = cpu < UINT32_MAX ? (uint32_t)cpu : UINT32_MAX};
  pthread_mutex_lock(&d->lock);
  sh_status status = sh_define(d, &shape, SH_CLASS_GROUP, class_id);
  if (status == SH_OK)
    d->groups[*class_id] = g;
  pthread_mutex_unlock(&d->lock);
  if (status != SH_OK)
    free(g);
  return status;
}

/* -- the node's share of it -- */

static void unplace(sh_repair *d, sh_group *g, uint32_t n) {
  for (uint32_t i = 0; i < n; i++)
    sh_ledger_unbook(&d->ledger, &g->bundles[i].demand, g->bundles[i].gpu_mask);
}

/* Each bundle must find its GPUs beside those of the others: so they are booked one by one, and let go of if one does not fit. */
static bool place(sh_repair *d, sh_group *g) {
  for (uint32_t i = 0; i < g->n_bundles; i++) {
    if (!sh_ledger_fits(&d->ledger, &g->bundles[i].demand)) {
      unplace(d, g, i);
      return false;
    }
    g->bundles[i].gpu_mask = sh_ledger_book(&d->ledger, &g->bundles[i].demand);
  }
  return true;
}

static void open_ledger(sh_bundle *b) {
  const sh_demand *demand = &b->demand;
  for (uint32_t i = 0; i < demand->n; i++)
    b->ledger.capacity[demand->kinds[i]] = demand->milli[i];
  for (uint32_t g = 0; g < SH_MAX_GPUS; g++)
    if (b->gpu_mask & (1U << g))
      b->ledger.gpu[g] = demand->gpu_milli < SH_WHOLE_MILLI ? demand->gpu_milli : SH_WHOLE_MILLI;
}

bool sh_group_others_fit(sh_repair *d, uint32_t class_id) {
  sh_group *g = group_at(d, class_id);
  if (!g || !place(d, g))
    return false;
  unplace(d, g, g->n_bundles);
  return true;
}

uint64_t sh_group_kinds(const sh_repair *d, uint32_t class_id) {
  const sh_group *g = group_at(d, class_id);
  uint64_t kinds = 0;
  for (uint32_t i = 0; g && i < g->n_bundles; i++)
    kinds |= sh_demand_kinds(&g->bundles[i].demand);
  return kinds;
}

bool sh_group_grant(sh_repair *d, uint32_t class_id) {
  sh_group *g = group_at(d, class_id);
  if (!g || g->is_removed)
    return false;
  if (g->is_granted)
    return true;
  if (!place(d, g))
    return false;
  if (!sh_lease_take_cpu(d, sh_known_class(d, class_id)->cpu_milli)) {
    unplace(d, g, g->n_bundles);
    return false;
  }
  for (uint32_t i = 0; i < g->n_bundles; i++)
    open_ledger(&g->bundles[i]);
  g->is_granted = true;
  return true;
}

bool sh_repair_reserve_group(sh_repair *d, uint32_t class_id) {
  pthread_mutex_lock(&d->lock);
  bool granted = group_at(d, class_id) && sh_group_grant(d, class_id);
  if (group_at(d, class_id))
    d->actor_waits[class_id] = !granted;
  pthread_mutex_unlock(&d->lock);
  return granted;
}

/* -- what runs in it -- */

static bool fits(const sh_bundle *b, const sh_demand *demand) {
  return demand->cpu_milli <= b->demand.cpu_milli - b->cpu_used && sh_ledger_fits(&b->ledger, demand);
}

bool sh_group_book(sh_repair *d, const sh_class *c, sh_claims *claims) {
  uint32_t group = sh_room_group(c->room), bundle = sh_room_bundle(c->room);
  sh_group *g = group_at(d, group - 1U);
  if (!g || !g->is_granted) /* a class that names a removed group is closed, or names it no more */
    return false;
  sh_demand demand = sh_demand_of(c);
  uint32_t first = bundle ? bundle - 1U : 0, end = bundle ? bundle : g->n_bundles;
  for (uint32_t i = first; i < end; i++) {
    sh_bundle *b = &g->bundles[i];
    if (!fits(b, &demand))
      continue;
    b->cpu_used += demand.cpu_milli;
    claims->group = group;
    claims->bundle = i;
    claims->gpu_mask = sh_ledger_book(&b->ledger, &demand);
    g->n_claims++;
    return true;
  }
  return false;
}

void sh_group_give_cpu_back(sh_repair *d, sh_claims *claims) {
  group_at(d, claims->group - 1U)->bundles[claims->bundle].cpu_used -= claims->cpu_milli;
  claims->cpu_milli = 0;
}

/* A removed group is gone when nothing is booked in it: then its class may be another one. */
static void let_go_if_unused(sh_repair *d, uint32_t class_id) {
  sh_group *g = d->groups[class_id];
  if (!g->is_removed || g->n_claims)
    return;
  sh_class *k = sh_known_class(d, class_id);
  if (g->is_granted) {
    unplace(d, g, g->n_bundles);
    sh_lease_give_cpu(d, k->cpu_milli);
  }
  k->word = sh_word(sh_word_generation(k->word), SH_FREE, 0, 0); /* nobody but us knew its number */
  (void)sh_publish_class(d, class_id);
  d->groups[class_id] = NULL;
  free(g);
}

void sh_group_unbook(sh_repair *d, sh_claims *claims) {
  uint32_t class_id = claims->group - 1U;
  sh_group *g = group_at(d, class_id);
  sh_group_give_cpu_back(d, claims);
  sh_ledger_unbook(&g->bundles[claims->bundle].ledger, &claims->demand, claims->gpu_mask);
  g->n_claims--;
  let_go_if_unused(d, class_id);
}

/* -- its end -- */

static bool of_class(const sh_slot *t, uint32_t class_id) {
  return sh_slot_class(t) == class_id;
}

/* Its number is another group's before long: an actor that has not ended by then must not book in that one. */
static void turn_out(sh_repair *d, uint32_t actor) {
  sh_known_class(d, actor)->room = SH_ROOM_GONE;
  (void)sh_publish_class(d, actor);
}

static void end_tasks(sh_repair *d, uint32_t group) {
  for (uint32_t i = 0; i < d->classes_high; i++) {
    sh_class *k = sh_known_class(d, i);
    if (sh_word_state(k->word) != SH_CLASS_LIVE || sh_room_group(k->room) != group + 1U)
      continue;
    if (k->kind == SH_CLASS_ACTOR) {
      turn_out(d, i);
      continue;
    }
    sh_fetch_and(&d->seg.header->x_task_classes[i / 64U], ~(1ULL << (i % 64U)));
    k->end = (sh_system_error){.code = SH_ERR_GROUP_REMOVED, .wait_status = -1, .class_id = i};
    k->word = sh_word(sh_word_generation(k->word), SH_CLASS_CLOSED, 0, 0);
    (void)sh_publish_class(d, i);
    sh_fence(); /* the closed class, then the scan; against a submitter's READY, then its look at the class */
    sh_sweep_fail(d, of_class, i, NULL, &k->end);
  }
  sh_cancel_group(d, group, sh_os_now_ns()); /* those that were taken */
}

void sh_repair_remove_group(sh_repair *d, uint32_t class_id) {
  pthread_mutex_lock(&d->lock);
  sh_group *g = group_at(d, class_id);
  if (g && !g->is_removed) {
    g->is_removed = true;
    d->actor_waits[class_id] = 0;
    end_tasks(d, class_id);
    (void)sh_counts_work(&d->counts, SH_WORK_NS);
    let_go_if_unused(d, class_id);
  }
  pthread_mutex_unlock(&d->lock);
  sh_os_eventfd_signal(d->poke_fd); /* for what came free */
}

bool sh_repair_look_at_bundle(sh_repair *d, uint32_t class_id, uint32_t bundle, sh_bundle *out) {
  pthread_mutex_lock(&d->lock);
  const sh_group *g = group_at(d, class_id);
  bool found = g && g->is_granted && bundle < g->n_bundles;
  if (found)
    *out = g->bundles[bundle];
  pthread_mutex_unlock(&d->lock);
  return found;
}

void sh_group_close_all(sh_repair *d) {
  for (uint32_t i = 0; d->groups && i < SH_MAX_CLASSES; i++)
    free(d->groups[i]);
  free(d->groups);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "node/ledger.h"

sh_demand sh_demand_of(const sh_class *c) {
  sh_demand demand = {.cpu_milli = sh_load32_relaxed(&c->cpu_milli), .gpu_milli = sh_load32_relaxed(&c->gpu_milli)};
  demand.n = sh_load32_relaxed(&c->n_demands);
  if (demand.n > SH_MAX_DEMANDS)
    demand.n = SH_MAX_DEMANDS;
  for (uint32_t i = 0; i < demand.n; i++) {
    demand.kinds[i] = sh_load32_relaxed(&c->demands[i].kind);
    demand.milli[i] = sh_load32_relaxed(&c->demands[i].milli);
  }
  return demand;
}

static bool is_among(const sh_demand *demand, uint32_t n, uint32_t kind) {
  for (uint32_t i = 0; i < n; i++)
    if (demand->kinds[i] == kind)
      return true;
  return false;
}

bool sh_demand_is_sound(const sh_demand *demand) {
  if (demand->n > SH_MAX_DEMANDS)
    return false;
  for (uint32_t i = 0; i < demand->n; i++)
    if (demand->kinds[i] >= SH_MAX_KINDS || demand->kinds[i] == 0 || is_among(demand, i, demand->kinds[i]))
      return false;
  return true;
}

uint64_t sh_demand_kinds(const sh_demand *demand) {
  _Static_assert(SH_MAX_KINDS <= 64U, "one bit for each kind");
  uint64_t kinds = demand->gpu_milli != 0;
  for (uint32_t i = 0; i < demand->n; i++)
    kinds |= 1ULL << demand->kinds[i];
  return kinds;
}

/* A part of one device, or whole devices; 0: there are none free. */
static uint32_t pick_gpus(const sh_ledger *l, uint32_t milli) {
  uint32_t mask = 0, whole = milli / SH_WHOLE_MILLI;
  for (uint32_t g = 0; g < SH_MAX_GPUS; g++) {
    if (milli < SH_WHOLE_MILLI && l->gpu[g] - l->gpu_used[g] >= milli)
      return 1U << g;
    if (whole && l->gpu[g] == SH_WHOLE_MILLI && l->gpu_used[g] == 0) {
      mask |= 1U << g;
      whole--;
    }
  }
  return milli >= SH_WHOLE_MILLI && whole == 0 ? mask : 0;
}

static uint32_t of_each_gpu(const sh_demand *demand) {
  return demand->gpu_milli < SH_WHOLE_MILLI ? demand->gpu_milli : SH_WHOLE_MILLI;
}

bool sh_ledger_fits(const sh_ledger *l, const sh_demand *demand) {
  for (uint32_t i = 0; i < demand->n; i++) {
    uint32_t kind = demand->kinds[i];
    if (kind >= SH_MAX_KINDS || (uint64_t)l->used[kind] + demand->milli[i] > l->capacity[kind])
      return false;
  }
  return demand->gpu_milli == 0 || pick_gpus(l, demand->gpu_milli) != 0;
}

uint32_t sh_ledger_book(sh_ledger *l, const sh_demand *demand) {
  for (uint32_t i = 0; i < demand->n; i++)
    l->used[demand->kinds[i]] += demand->milli[i];
  uint32_t mask = demand->gpu_milli ? pick_gpus(l, demand->gpu_milli) : 0;
  for (uint32_t g = 0; g < SH_MAX_GPUS; g++)
    if (mask & (1U << g))
      l->gpu_used[g] += of_each_gpu(demand);
  return mask;
}

void sh_ledger_unbook(sh_ledger *l, const sh_demand *demand, uint32_t gpu_mask) {
  for (uint32_t i = 0; i < demand->n; i++)
    l->used[demand->kinds[i]] -= demand->milli[i];
  for (uint32_t g = 0; g < SH_MAX_GPUS; g++)
    if (gpu_mask & (1U << g))
      l->gpu_used[g] -= of_each_gpu(demand);
}

void sh_ledger_set_gpus(sh_ledger *l, uint32_t n) {
  for (uint32_t g = 0; g < SH_MAX_GPUS; g++)
    l->gpu[g] = g < n ? SH_WHOLE_MILLI : 0;
}

static uint32_t sum(const uint32_t milli[SH_MAX_GPUS]) {
  uint32_t all = 0;
  for (uint32_t g = 0; g < SH_MAX_GPUS; g++)
    all += milli[g];
  return all;
}

uint32_t sh_ledger_gpu_milli(const sh_ledger *l) {
  return sum(l->gpu);
}

uint32_t sh_ledger_gpu_used(const sh_ledger *l) {
  return sum(l->gpu_used);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "node/known.h"

#include <string.h>

static uint32_t put32(sh_a32 *shared, const sh_a32 *known) {
  uint32_t value = sh_load32_relaxed(known);
  if (sh_load32_relaxed(shared) == value)
    return 0;
  sh_store32_release(shared, value);
  return 1;
}

uint32_t sh_publish_client(sh_repair *d, uint32_t client) {
  sh_client *c = sh_client_at(&d->seg, client), *k = sh_known_client(d, client);
  return put32(&c->x_epoch, &k->x_epoch) + put32(&c->x_pid, &k->x_pid) + put32(&c->x_role, &k->x_role) +
         put32(&c->x_class, &k->x_class) + put32(&c->x_root, &k->x_root) + put32(&c->x_crew, &k->x_crew) +
         put32(&c->x_fenced, &k->x_fenced) + put32(&c->x_state, &k->x_state);
}

uint32_t sh_publish_class(sh_repair *d, uint32_t class_id) {
  sh_class *c = sh_class_at(&d->seg, class_id), *k = sh_known_class(d, class_id);
  uint32_t n = put32(&c->kind, &k->kind) + put32(&c->root, &k->root) + put32(&c->cpu_milli, &k->cpu_milli) +
               put32(&c->gpu_milli, &k->gpu_milli) + put32(&c->n_demands, &k->n_demands) +
               put32(&c->priority, &k->priority) + put32(&c->x_taker, &k->x_taker) +
               put32(&c->x_unreferenced, &k->x_unreferenced) + put32(&c->x_restarts, &k->x_restarts) +
               put32(&c->x_incarnation, &k->x_incarnation) + put32(&c->crew, &k->crew) + put32(&c->room, &k->room) +
               put32(&c->tag, &k->tag) + put32(&c->logs, &k->logs);
  for (uint32_t i = 0; i < SH_MAX_DEMANDS; i++)
    n += put32(&c->demands[i].kind, &k->demands[i].kind) + put32(&c->demands[i].milli, &k->demands[i].milli);
  if (memcmp(&c->end, &k->end, sizeof c->end) != 0) {
    c->end = k->end;
    n++;
  }
  uint64_t word = sh_load_relaxed(&k->word);
  if (sh_load_relaxed(&c->word) != word) {
    sh_store_release(&c->word, word);
    n++;
  }
  return n;
}

uint32_t sh_publish_header(sh_repair *d) {
  sh_segment_header *h = d->seg.header;
  const sh_a32 mode = d->stopped ? SH_MODE_STOPPED : SH_MODE_RUNNING, clients = d->clients_high,
               classes = d->classes_high, ranked = d->ranked;
  uint32_t n = memcmp(&h->fixed, &d->seg.fixed, sizeof h->fixed) != 0;
  if (n)
    h->fixed = d->seg.fixed; /* for those who attach */
  return n + put32(&h->x_mode, &mode) + put32(&h->x_clients_high, &clients) + put32(&h->x_classes_high, &classes) +
         put32(&h->x_ranked, &ranked);
}

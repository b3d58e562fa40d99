/* SPDX-License-Identifier: Apache-2.0
 *
 * READY tasks that nobody would come for: found by a look at all slots, when somebody says that there may be some. */
#include "node/known.h"
#include "node/repair.h"
#include "node/task.h"

static uint32_t slots_in_use(const sh_segment *s) {
  return sh_pool_used_chunks(s, SH_POOL_SLOT) * sh_pool_of(s, SH_POOL_SLOT)->chunk_records;
}

void sh_sweep_rescan(sh_repair *d) {
  uint32_t end = slots_in_use(&d->seg);
  for (uint32_t i = 0; i < end; i++)
    if (sh_word_state(sh_load_acquire(&sh_slot_at(&d->seg, i)->word)) == SH_TASK_READY)
      sh_task_hint(&d->self, i);
}

void sh_sweep_orphans(sh_repair *d) {
  uint32_t end = slots_in_use(&d->seg);
  for (uint32_t i = 0; i < end; i++) {
    uint64_t word = sh_load_acquire(&sh_slot_at(&d->seg, i)->word);
    if (sh_word_state(word) != SH_TASK_READY)
      continue;
    const sh_class *c = sh_known_class(d, sh_word_who(word));
    if (sh_word_state(c->word) != SH_CLASS_CLOSED)
      continue;
    (void)sh_sweep_refuse(d, i, word, &c->end); /* it became ready after its class was closed and scanned */
  }
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * Resolving with an error what has not begun: its class is closed, or its job has ended. */
#include "node/call_log.h"
#include "node/repair.h"

bool sh_sweep_refuse(sh_repair *d, uint32_t slot, uint64_t word, const sh_system_error *error) {
  uint64_t mine = sh_word(sh_word_generation(word), SH_TASK_CLAIMED, 0, sh_word_tag(word));
  if (!sh_cas(&sh_slot_at(&d->seg, slot)->word, &word, mine))
    return false;
  sh_sweep_resolve(d, slot, mine, error);
  return true;
}

/* -> false: it moved under us, look again. */
static bool fail_slot(sh_repair *d, uint32_t slot, bool (*match)(const sh_slot *t, uint32_t arg), uint32_t arg,
                      const sh_system_error *error) {
  sh_slot *t = sh_slot_at(&d->seg, slot);
  uint64_t word = sh_load_acquire(&t->word);
  uint32_t state = sh_word_state(word);
  bool interrupted = state >= SH_TASK_CLAIMED && state != SH_QUARANTINED && sh_word_who(word) == 0; /* a scan of ours */
  bool unclaimed = state == SH_TASK_READY || state == SH_TASK_WAITING;
  if (state == SH_TASK_LOGGED) {
    if (sh_word_who(word) == sh_slot_class(t) && match(t, arg)) /* an odd one is for the look at everything */
      sh_log_end(d, slot, word);
    return true;
  }
  if (!(interrupted || unclaimed) || !match(t, arg))
    return true;
  if (unclaimed)
    return sh_sweep_refuse(d, slot, word, error);
  if (state == SH_TASK_COMMITTED)
    sh_sweep_finish(d, slot, word);
  else
    sh_sweep_resolve(d, slot, word, error);
  return true;
}

void sh_sweep_fail(sh_repair *d, bool (*match)(const sh_slot *t, uint32_t arg), uint32_t arg, const sh_a64 *where,
                   const sh_system_error *error) {
  uint32_t per_chunk = sh_pool_of(&d->seg, SH_POOL_SLOT)->chunk_records;
  uint32_t end = sh_pool_used_chunks(&d->seg, SH_POOL_SLOT) * per_chunk, moves = 0;
  for (uint32_t i = 0; i < end;) {
    uint32_t chunk = i / per_chunk;
    if (where && !sh_pool_is_marked(where, chunk))
      i += per_chunk;
    else if (fail_slot(d, i, match, arg, error) || moves++ >= SH_MAX_CLIENTS)
      i++;
  }
}

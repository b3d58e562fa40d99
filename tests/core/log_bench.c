/* SPDX-License-Identifier: Apache-2.0 */
#include "log_bench.h"

void log_bench_open(log_bench *b) {
  *b = (log_bench){0};
  rig_open(&b->r, 1, 2);
  rig_attach(&b->r, &b->other, SH_ROLE_DRIVER, -1, LOG_BENCH_ROOT);
  for (uint32_t kind = 2; rig_define(&b->r, 0, kind) + 1U < b->other.index; kind++) {
  }
  b->class_id = rig_logging_actor(&b->r, &b->actor);
  EXPECT_EQ(b->class_id, b->other.index);
}

void log_bench_end(log_bench *b) {
  sh_system_error gone = {.code = SH_ERR_ACTOR_DIED, .class_id = b->class_id, .wait_status = -1};
  sh_repair_close_class(&b->r.d, b->class_id, &gone);
}

void log_bench_close(log_bench *b, const sh_ref *refs, uint32_t n) {
  if (b->actor.open)
    rig_detach(&b->r, &b->actor);
  log_bench_end(b);
  if (b->other.open)
    rig_detach(&b->r, &b->other);
  rig_close_empty(&b->r, refs, n);
}

void log_bench_restart(log_bench *b, uint32_t position) {
  rig_restart_actor(&b->r, &b->actor, b->class_id, ++b->incarnation);
  EXPECT(sh_log_open(&b->actor, position));
}

sh_ref log_bench_call(log_bench *b, sh_self *by, const rig_call *like) {
  sh_ref out = {0};
  rig_call call = *like;
  if (!call.class_id)
    call.class_id = b->class_id;
  if (!call.n_returns)
    call.n_returns = 1;
  call.flags |= SH_SLOT_ACTOR_CALL;
  rig_submit(by, &call, &out);
  return out;
}

sh_ref log_bench_submit(log_bench *b, uint64_t addend) {
  return log_bench_call(b, &b->r.driver, &(rig_call){.addend = addend, .max_retries = LOG_BENCH_EVER});
}

uint32_t log_bench_claim(log_bench *b, sh_ref out) {
  uint32_t slot = rig_claim(&b->actor);
  EXPECT_EQ(sh_ref_pack(sh_slot_return(&b->actor.seg, log_bench_slot(b, slot), 0)), sh_ref_pack(out));
  return slot;
}

uint32_t log_bench_begin(log_bench *b, sh_ref out) {
  uint32_t slot = log_bench_claim(b, out);
  sh_log_begin(&b->actor, slot);
  return slot;
}

uint32_t log_bench_run(log_bench *b, sh_ref out) {
  uint32_t slot = log_bench_begin(b, out);
  rig_finish(&b->actor, slot);
  return slot;
}

sh_ref log_bench_do(log_bench *b, uint64_t addend) {
  sh_ref out = log_bench_submit(b, addend);
  (void)log_bench_run(b, out);
  return out;
}

sh_slot *log_bench_slot(const log_bench *b, uint32_t slot) {
  return sh_slot_at(&b->r.d.seg, slot);
}

uint32_t log_bench_state(const log_bench *b, uint32_t slot) {
  return sh_word_state(sh_load_relaxed(&log_bench_slot(b, slot)->word));
}

void log_bench_set_committed(log_bench *b, uint32_t slot, uint32_t who) {
  sh_a64 *word = &log_bench_slot(b, slot)->word;
  uint64_t now = sh_load_relaxed(word);
  sh_store_relaxed(word, sh_word(sh_word_generation(now), SH_TASK_COMMITTED, who, sh_word_tag(now)));
}

void log_bench_expect(const log_bench *b, const sh_ref *outs, uint32_t n) {
  uint64_t bytes = 0;
  EXPECT_EQ(b->actor.n_logged, n);
  for (uint32_t i = 0; i < n; i++) {
    sh_ref task = rig_task_of(&b->r, outs[i]);
    sh_logged one = b->actor.logged[i];
    uint64_t word = sh_load_relaxed(&log_bench_slot(b, one.slot)->word);
    EXPECT_EQ(one.slot, task.index);
    EXPECT_EQ(sh_word_generation(word), task.generation);
    EXPECT_EQ(sh_word_state(word), SH_TASK_LOGGED);
    EXPECT_EQ(sh_word_who(word), b->class_id);
    EXPECT_EQ(one.position, sh_load32_relaxed(&log_bench_slot(b, one.slot)->x_position) & ~SH_POSITION_RAISED);
    EXPECT_EQ(one.bytes, log_bench_slot(b, one.slot)->spec_bytes);
    bytes += one.bytes;
  }
  EXPECT_EQ(b->actor.logged_bytes, bytes);
}

uint64_t log_bench_live_slots(log_bench *b) {
  sh_stats stats;
  rig_rounds(&b->r, 2);
  (void)sh_counts_work(&b->r.d.counts, SH_COUNTS_ALL);
  sh_repair_stats(&b->r.d, &stats);
  return stats.live_slots;
}

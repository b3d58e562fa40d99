/* SPDX-License-Identifier: Apache-2.0
 * A caller's calls of an actor start in the order they were made, whoever else hints them. */
#include "rig.h"

static rig r;

static sh_ref call(uint32_t class_id, uint64_t addend, const sh_ref *dep) {
  rig_call c = {.class_id = class_id, .n_returns = 1, .flags = SH_SLOT_ACTOR_CALL, .addend = addend};
  c.deps = dep;
  c.n_deps = dep != NULL;
  sh_ref out;
  rig_submit(&r.driver, &c, &out);
  return out;
}

/* The actor claims its next call; it must be the one that resolves `expected`. */
static void expect_next(sh_self *actor, sh_ref expected) {
  uint32_t slot;
  EXPECT_EQ(sh_next_try(actor, &slot), SH_OK);
  EXPECT_EQ(sh_ref_pack(sh_slot_return(&r.d.seg, sh_slot_at(&r.d.seg, slot), 0)), sh_ref_pack(expected));
  rig_finish(actor, slot);
}

static void drop_all(const sh_ref *refs, uint32_t n) {
  for (uint32_t i = 0; i < n; i++)
    sh_ref_drop(&r.driver, refs[i]);
}

static void test_a_rescan_does_not_reorder_calls(void) {
  rig_open(&r, 1, 1);
  sh_self actor;
  uint32_t class_id = rig_actor(&r, &actor);
  sh_ref out[100];
  for (uint32_t i = 0; i < 50; i++)
    out[i] = call(class_id, i, NULL);
  for (uint32_t i = 0; i < 10; i++)
    expect_next(&actor, out[i]);
  sh_sweep_rescan(&r.d); /* every waiting call is hinted once more, by the daemon's ring */
  for (uint32_t i = 50; i < 100; i++)
    out[i] = call(class_id, i, NULL);
  sh_sweep_rescan(&r.d);
  for (uint32_t i = 10; i < 100; i++)
    expect_next(&actor, out[i]);
  EXPECT(!rig_work(&actor));
  EXPECT(!sh_next_possible(&actor));
  drop_all(out, 100);
  rig_detach(&r, &actor);
  rig_rounds(&r, 2);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_a_rescan_does_not_overtake_a_stalled_call(void) {
  rig_open(&r, 1, 1);
  sh_self actor;
  uint32_t class_id = rig_actor(&r, &actor);
  sh_ref late = rig_submit_one(&r, 7, NULL, 0), out[5];
  out[0] = call(class_id, 0, &late);
  for (uint32_t i = 1; i < 5; i++)
    out[i] = call(class_id, i, NULL);
  EXPECT(!rig_work(&actor)); /* the first one waits, and the others behind it */
  sh_sweep_rescan(&r.d);
  EXPECT(!rig_work(&actor));
  EXPECT(rig_work(&r.worker[0])); /* answers the argument */
  for (uint32_t i = 0; i < 5; i++)
    expect_next(&actor, out[i]);
  EXPECT(!rig_work(&actor));
  drop_all(out, 5);
  sh_ref_drop(&r.driver, late);
  rig_detach(&r, &actor);
  rig_rounds(&r, 2);
  rig_expect_empty(&r);
  rig_close(&r);
}

int main(void) {
  RUN(test_a_rescan_does_not_reorder_calls);
  RUN(test_a_rescan_does_not_overtake_a_stalled_call);
  return 0;
}

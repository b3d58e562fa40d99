/* SPDX-License-Identifier: Apache-2.0 */
#include "streams.h"

static void submit(stage *s, sh_self *by, uint32_t ahead, sh_ref out[2]) {
  rig_call call = {.class_id = s->r.class_id, .n_returns = 2, .flags = SH_SLOT_STREAM, .addend = 5};
  call.ahead = ahead;
  call.max_retries = 1;
  rig_submit(by, &call, out);
}

/* ---- the victim makes items ---- */

/* The driver waits for the first item. The value is the same, whoever makes it. */
static void running_stream(stage *s) {
  sh_ref out[2];
  submit(s, &s->r.driver, 2, out);
  stage_promise_add(s, out[SH_STREAM_TAIL], 5, true);
  stage_promise_add(s, out[SH_STREAM_DONE], 6, true);
  EXPECT_EQ(sh_next_try(s->victim, &s->slot), SH_OK);
}

/* The driver waits for its end only. */
static void dropped_stream(stage *s) {
  sh_ref out[2];
  submit(s, &s->r.driver, 2, out);
  stage_promise_add(s, out[SH_STREAM_DONE], 6, true);
  EXPECT_EQ(sh_next_try(s->victim, &s->slot), SH_OK);
  s->dropped = out[SH_STREAM_TAIL];
}

static void stream_for_nobody(stage *s) {
  dropped_stream(s);
  sh_ref_drop(&s->r.driver, s->dropped);
  s->dropped = (sh_ref){0};
}

#if defined(SH_HOOKS) && SH_HOOKS

/* As its first item is closed. */
static void is_dropped(stage *s, const volatile void *word) {
  sh_entry *e = sh_entry_at(&s->r.d.seg, s->dropped.index);
  if (strcmp(sh_hook_site->function, "sh_entry_close") == 0 && word == &e->head)
    atomic_fetch_or(&e->head, SH_HEAD_DROPPED);
}

static void stream_that_is_dropped(stage *s) {
  dropped_stream(s);
  s->meddle = is_dropped;
}

#else
#define stream_that_is_dropped dropped_stream
#endif

static void make_items(stage *s) {
  sh_ref permit;
  for (uint32_t i = 0; i < 3; i++)
    if (!rig_yield(s->victim, s->slot, 5, i == 1 ? LARGE : 8))
      break;
  (void)sh_stream_begin(s->victim, s->slot, &permit); /* and none is made */
  rig_end_stream(s->victim, s->slot);
  sh_seat_rest(s->victim);
}

static void make_one_that_is_not_delivered(stage *s) {
  sh_ref permit;
  uint8_t *data;
  EXPECT(rig_yield(s->victim, s->slot, 5, 8));
  sh_ref tail = sh_slot_return(&s->r.d.seg, sh_slot_at(&s->r.d.seg, s->slot), SH_STREAM_TAIL);
  EXPECT_EQ(sh_stream_begin(s->victim, s->slot, &permit), SH_OK);
  EXPECT_EQ(sh_fill(s->victim, tail, LARGE, 0, &data), SH_OK);
  rig_end_stream(s->victim, s->slot);
  sh_seat_rest(s->victim);
}

/* ---- the victim takes items ---- */

static void stream_of_its_own(stage *s) {
  sh_ref out[2];
  submit(s, s->victim, 2, out);
  EXPECT_EQ(sh_next_try(&s->r.worker[2], &s->slot), SH_OK);
  for (uint32_t i = 0; i < 3; i++)
    EXPECT(rig_yield(&s->r.worker[2], s->slot, 5, i == 1 ? LARGE : 8));
  rig_drop_permits(&s->r.worker[2]);
  s->given = out[SH_STREAM_TAIL];
  /* Its end is there when the curtain falls. */
  uint8_t *data;
  sh_stream_withdraw(&s->r.worker[2], s->slot);
  EXPECT_EQ(sh_fill(&s->r.worker[2], out[SH_STREAM_DONE], 8, 0, &data), SH_OK);
  memset(data, 0, 8);
  sh_stream_fill_end(&s->r.worker[2], s->slot);
  s->withheld_slot = s->slot;
  s->withheld = out[SH_STREAM_DONE];
  s->slot = 0;
}

static void take_and_drop_items(stage *s) {
  sh_ref next;
  EXPECT_EQ(sh_stream_take(s->victim, s->given, &next), SH_OK);
  sh_ref_drop(s->victim, s->given);
  sh_ref_drop(s->victim, next);
}

const scenario stream_scenarios[] = {
    {"make items", STAGE_WORKER, running_stream, make_items},
    {"make items for nobody", STAGE_WORKER, stream_for_nobody, make_items},
    {"make items as they are dropped", STAGE_WORKER, stream_that_is_dropped, make_items},
    {"think better of an item", STAGE_WORKER, running_stream, make_one_that_is_not_delivered},
    {"take items and drop the rest", STAGE_DRIVER, stream_of_its_own, take_and_drop_items},
};
const uint32_t stream_n_scenarios = sizeof stream_scenarios / sizeof *stream_scenarios;

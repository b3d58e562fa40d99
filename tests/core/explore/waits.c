/* SPDX-License-Identifier: Apache-2.0
 * What clients say that they wait for (node/waits.h), and those who look for circles: two looks that find the same found one
 * wait, which lasted in between. */
#include "scenarios.h"

#include "node.h"
#include "node/survey.h"
#include "node/waits.h"

/* When waits began. */
#define BEFORE 64U
#define FIRST 128U
#define SECOND 192U

static struct {
  sh_ref a, b, c;
  node_box box;
  uint32_t index, epoch;
  sh_self next; /* the process after */
} *stage;

static void setup(void) {
  node_open(2, 2);
  stage = xp_room(sizeof *stage);
  sh_ref r = rig_submit_one(node, 1, NULL, 0);
  stage->a = r;
  r = rig_submit_one(node, 2, NULL, 0);
  stage->b = r;
  r = rig_submit_one(node, 3, NULL, 0);
  stage->c = r;
}

static void look_at(const sh_self *self, sh_client_view *v) {
  XP_CHECK(sh_survey_client(&node->d.seg, self->index, v));
}

static bool same(const sh_client_view *a, const sh_client_view *b) {
  return a->waits == b->waits && a->awaits == b->awaits;
}

/* ---- one process, two waits ---- */

static void wait_for_a(sh_self *self) {
  sh_waits_tell(self, sh_ref_pack(stage->a), FIRST | SH_WAIT_SOLE);
}
static void wait_twice(void) {
  sh_self *self = &node->worker[0];
  wait_for_a(self);
  sh_waits_end(self);
  sh_waits_tell(self, sh_ref_pack(stage->c), SECOND | SH_WAIT_SOLE);
}
static void look_twice(void) {
  sh_client_view first, second;
  look_at(&node->worker[0], &first);
  look_at(&node->worker[0], &second);
  if (!same(&first, &second))
    return;
  if (first.waits == (FIRST | SH_WAIT_SOLE) && first.awaits != SH_AWAITS_NOTHING) /* it has just ended: not believed */
    XP_EQUAL(first.awaits, sh_ref_pack(stage->a));
  if (first.waits == (SECOND | SH_WAIT_SOLE))
    XP_EQUAL(first.awaits, sh_ref_pack(stage->c));
}
static void it_waits_for_c(void) {
  sh_client_view v;
  look_at(&node->worker[0], &v);
  XP_EQUAL(v.waits, SECOND | SH_WAIT_SOLE);
  XP_EQUAL(v.awaits, sh_ref_pack(stage->c));
}
const xp_scenario waits_in_a_row = {
    .name = "U waits: one waits for this and then for that, and is looked at twice",
    .setup = setup,
    .run = {wait_twice, look_twice},
    .check = it_waits_for_c,
};

/* ---- two processes: the second wait begins when the first one has ended, so they are no circle ---- */

static void wait_and_give(void) {
  sh_self *self = &node->worker[0];
  wait_for_a(self);
  sh_waits_end(self);
  node_give(&stage->box, stage->b);
}
static void take_and_wait(void) {
  sh_ref r;
  if (node_look(&stage->box, &r))
    sh_waits_tell(&node->worker[1], sh_ref_pack(r), FIRST | SH_WAIT_SOLE);
}
static void look_for_a_circle(void) {
  sh_client_view first[2], second[2];
  for (uint32_t i = 0; i < 2U; i++)
    look_at(&node->worker[i], &first[i]);
  for (uint32_t i = 0; i < 2U; i++)
    look_at(&node->worker[i], &second[i]);
  bool all = true;
  for (uint32_t i = 0; i < 2U; i++)
    all = all && first[i].waits && same(&first[i], &second[i]);
  XP_CHECK(!all);
}
static void nothing(void) {}
const xp_scenario waits_no_circle = {
    .name = "U waits: one wait begins when another has ended, and both are looked at twice",
    .setup = setup,
    .run = {wait_and_give, take_and_wait, look_for_a_circle},
    .check = nothing,
};

/* ---- who waits for several says so when its waiters say for which ---- */

static void setup_listed(void) {
  setup();
  for (uint32_t i = 0; i < 2U; i++) {
    sh_ref r = i ? stage->b : stage->a;
    sh_ref_share(&node->driver, r);
    XP_EQUAL(sh_ref_take(&node->worker[0], r), SH_OK);
  }
  XP_EQUAL(sh_watch(&node->worker[0], stage->a), SH_OK);
  sh_waits_tell(&node->worker[0], sh_ref_pack(stage->a), FIRST | SH_WAIT_LISTED);
}
static void watch_the_other(void) {
  XP_EQUAL(sh_watch(&node->worker[0], stage->b), SH_OK);
  sh_waits_change(&node->worker[0], FIRST | SH_WAIT_ALL);
}
static void look_at_waiters(void) {
  const sh_segment *s = &node->d.seg;
  sh_client_view v;
  bool found = false;
  look_at(&node->worker[0], &v);
  for (uint32_t i = 0, end = sh_survey_end(s, SH_POOL_WAITER); i < end; i++) {
    sh_waiter_view w;
    found |= sh_survey_waiter(s, i, &w) && w.kind == SH_WAITS_CLIENT && w.target == node->worker[0].index &&
             sh_ref_pack(w.object) == sh_ref_pack(stage->b);
  }
  XP_CHECK(found || (v.waits & SH_WAIT_ENDS_BY) != SH_WAIT_ALL);
}
const xp_scenario waits_for_all = {
    .name = "U W waits: one waits for more than it said, its waiters and then its word are looked at",
    .setup = setup_listed,
    .run = {watch_the_other, look_at_waiters},
    .check = nothing,
};

/* ---- a client's record becomes another's ---- */

static void setup_dead(void) {
  setup();
  sh_self *dead = &node->worker[0];
  sh_waits_tell(dead, sh_ref_pack(stage->a), BEFORE | SH_WAIT_SOLE);
  stage->index = dead->index;
  stage->epoch = dead->epoch;
  sh_self_close(dead);
}
static void sweep_and_register(void) {
  uint32_t index, epoch;
  sh_sweep_client(&node->d, stage->index);
  XP_EQUAL(sh_repair_register(&node->d, 1, -1, SH_ROLE_DRIVER, -1, RIG_ROOT + 1U, 0, &index, &epoch), SH_OK);
  XP_EQUAL(index, stage->index);
  stage->next.me = sh_client_at(&node->d.seg, index);
  sh_waits_tell(&stage->next, sh_ref_pack(stage->b), FIRST | SH_WAIT_SOLE);
}
static void look_at_either(void) {
  sh_client_view v;
  if (!sh_survey_client(&node->d.seg, stage->index, &v))
    return;
  bool before = v.epoch == stage->epoch;
  XP_EQUAL(v.root, before ? RIG_ROOT : RIG_ROOT + 1U);
  XP_EQUAL(v.role, before ? SH_ROLE_WORKER : SH_ROLE_DRIVER);
  XP_CHECK(v.waits == 0 || v.waits == ((before ? BEFORE : FIRST) | SH_WAIT_SOLE));
  XP_CHECK(v.awaits == SH_AWAITS_NOTHING || v.awaits == sh_ref_pack(before ? stage->a : stage->b));
}
const xp_scenario waits_of_another = {
    .name = "E U survey: a client is viewed as its record becomes another's",
    .setup = setup_dead,
    .run = {sweep_and_register, look_at_either},
    .check = nothing,
};

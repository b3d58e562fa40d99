/* SPDX-License-Identifier: Apache-2.0
 * What a task has called (node/children.h): however its attempt ends, the next one is told of each call that was made, or the
 * task says that it was made. */
#include "scenarios.h"

#include "node.h"
#include "node/cancel.h"
#include "node/children.h"

#define CHILD 70U      /* its function */
#define LIMIT_NS 1000U /* of an attempt */

static struct {
  sh_ref out, child;
  uint64_t parent; /* packed slot */
  uint32_t slot, actor_class, child_slot;
  sh_status committed; /* the child, or not */
  sh_self actor;
} *stage;

static sh_self *caller(void) {
  return &node->worker[0];
}

/* Worker 0 runs a task that may be repeated. */
static void open(void) {
  node_open(2, 2);
  stage = xp_room(sizeof *stage);
  stage->actor_class = rig_actor(node, &stage->actor);
  rig_call call = {.class_id = node->class_id, .n_returns = 1, .max_retries = 2, .timeout_ns = LIMIT_NS};
  call.flags = SH_SLOT_RETRY_OVERDUE;
  sh_ref r;
  rig_submit(&node->driver, &call, &r);
  stage->out = r;
  stage->slot = rig_claim(caller());
  stage->parent = sh_ref_pack(rig_task_of(node, r));
  node_clients[1] = &node->worker[1];
  node_clients[0] = caller();
}

static sh_ref call(uint32_t class_id) {
  sh_self *w = caller();
  const sh_slot *t = sh_slot_at(&node->d.seg, stage->slot);
  rig_call c = {.class_id = class_id, .n_returns = 1, .function = CHILD};
  c.flags = class_id == stage->actor_class ? SH_SLOT_ACTOR_CALL : 0U;
  sh_ref r;
  w->task_id = (sh_id128){.lo = t->id_lo, .hi = t->id_hi};
  w->parent = stage->parent;
  rig_submit(w, &c, &r);
  w->parent = 0;
  return r;
}

/* ---- what the next attempt learns ---- */

static uint32_t live_calls(void) {
  return node_live(SH_POOL_SLOT) - 1U; /* but for the parent */
}

/* Worker 1 runs the next attempt -> the calls that it is told of. */
static uint32_t told(sh_child *found, uint32_t max) {
  sh_self *next = &node->worker[1];
  uint32_t slot;
  rig_rounds(node, 2);
  while (sh_next_try(next, &slot) == SH_OK && slot != stage->slot)
    rig_finish(next, slot);
  XP_EQUAL(slot, stage->slot);
  return sh_repair_children(&node->d, next->index, next->epoch, sh_ref_unpack(stage->parent), found, max);
}

static void finish_all(const sh_child *found, uint32_t n) {
  sh_self *next = &node->worker[1];
  for (uint32_t i = 0; i < n; i++) {
    XP_EQUAL(sh_ref_adopt(next, found[i].r), SH_OK);
    sh_ref_drop(next, found[i].r);
  }
  rig_finish(next, stage->slot);
  while (rig_work(next) || rig_work(&stage->actor)) {
  }
  XP_EQUAL(rig_value(&node->driver, stage->out), 0);
  sh_ref_drop(&node->driver, stage->out);
  rig_rounds(node, 3);
  rig_look_at_everything(node);
  XP_EQUAL(node_live(SH_POOL_ENTRY), 0);
  XP_EQUAL(node_live(SH_POOL_SLOT), 0);
  node_check_valid();
}

static void expect_child(const sh_child *found) {
  XP_EQUAL(found->fn_lo, CHILD);
  XP_EQUAL(found->counter, 0);
  XP_EQUAL(found->class_id, sh_slot_class(sh_slot_at(&node->d.seg, stage->slot)));
}

/* ---- its caller is killed anywhere ---- */

static void call_and_drop(void) {
  sh_ref r = call(node->class_id);
  sh_ref_drop(caller(), r);
  rig_finish(caller(), stage->slot);
  sh_children_end(caller(), stage->parent);
}
static void sweep_caller(void) {
  if (xp_await_death(1U) != XP_NOBODY)
    sh_sweep_client(&node->d, caller()->index);
}
static void run_or_adopt(void) {
  sh_child found[2];
  if (rig_state_of(node, stage->out) == SH_FREE) { /* it was committed, by itself or by its sweep */
    while (rig_work(&node->worker[1])) {
    }
    XP_EQUAL(rig_value(&node->driver, stage->out), 0);
    return;
  }
  bool published = live_calls() != 0;
  uint32_t n = told(found, 2);
  XP_EQUAL(n, published);
  if (n)
    expect_child(found);
  finish_all(found, n);
}
const xp_scenario child_killed_caller = {
    .name = "V child: its caller is killed anywhere, the next attempt knows of the call",
    .setup = open,
    .run = {call_and_drop, sweep_caller},
    .check = run_or_adopt,
    .mortal = 1U,
    .crashes = 1,
};

/* Of an actor's call that nobody holds any more the task itself says that it was made. */
static void call_actor_and_share(void) {
  sh_ref r = call(stage->actor_class);
  sh_ref_share(caller(), r);
  sh_ref_drop(caller(), r);
}
static void was_made_or_told(void) {
  sh_child found[2];
  bool published = live_calls() != 0;
  if (!xp_has_died(0)) {
    XP_EQUAL(sh_made_below(sh_slot_at(&node->d.seg, stage->slot)), 1);
    return;
  }
  uint32_t n = told(found, 2);
  XP_CHECK(!published || n == 1U || sh_made_below(sh_slot_at(&node->d.seg, stage->slot)) == 1U);
  XP_CHECK(published || (n == 0 && sh_made_below(sh_slot_at(&node->d.seg, stage->slot)) == 0));
  finish_all(found, n);
}
const xp_scenario child_killed_caller_of_actor = {
    .name = "V child: who called an actor and let go is killed anywhere",
    .setup = open,
    .run = {call_actor_and_share, sweep_caller},
    .check = was_made_or_told,
    .mortal = 1U,
    .crashes = 1,
};

/* ---- it ends while they are collected ---- */

static void setup_dead_caller(void) {
  open();
  sh_ref r = call(node->class_id);
  stage->child = r;
  stage->child_slot = rig_claim(&node->worker[1]);
  rig_fill(&node->worker[1], stage->child_slot, 8);
  sh_self_close(caller());
}
static void commit_child(void) {
  XP_EQUAL(sh_commit(&node->worker[1], stage->child_slot), SH_OK);
}
static void sweep(void) {
  sh_sweep_client(&node->d, caller()->index);
}
static void is_told(void) {
  sh_child found[2];
  uint32_t n = told(found, 2);
  XP_EQUAL(n, 1);
  expect_child(found);
  XP_EQUAL(rig_value(&node->worker[1], found[0].r), 0);
  finish_all(found, n);
}
const xp_scenario child_ends_beside_sweep = {
    .name = "V C child: it is committed while its dead caller is swept",
    .setup = setup_dead_caller,
    .run = {commit_child, sweep},
    .check = is_told,
};

/* ---- its caller lives, and hands it over ---- */

static void setup_kept(void) {
  open();
  sh_ref r = call(node->class_id);
  stage->child = r;
  sh_ref_drop(caller(), r);
  XP_EQUAL(caller()->n_kept, 1);
  stage->child_slot = rig_claim(&node->worker[1]);
  rig_fill(&node->worker[1], stage->child_slot, 8);
}
static void hand_over(void) {
  sh_children_hand_over(caller(), stage->slot, true, true);
  XP_CHECK(sh_retry(caller(), stage->slot));
  sh_children_end(caller(), stage->parent);
}
static void read_logs(void) {
  (void)sh_counts_read(&node->d.counts);
  sh_counts_settle(&node->d.counts);
}
static void is_handed_over(void) {
  XP_EQUAL(sh_load32_relaxed(&sh_slot_at(&node->d.seg, stage->slot)->x_made), SH_MADE_FAILED);
  is_told();
}
const xp_scenario child_handed_over = {
    .name = "V L child: it is committed while its caller hands it over, and the logs are read",
    .setup = setup_kept,
    .run = {hand_over, commit_child, read_logs},
    .check = is_handed_over,
    .preemptions = 3,
};

/* ---- its caller has run too long: it is cancelled, or it has ended ---- */

static void setup_overdue(void) {
  setup_kept();
  uint64_t since = sh_load_relaxed(&caller()->me->x_since_ns);
  sh_cancel_overdue(&node->d, caller()->index, since + LIMIT_NS);
  XP_EQUAL(rig_state_of(node, stage->out), SH_TASK_OVERDUE);
}
static void hand_over_and_surrender(void) {
  sh_children_hand_over(caller(), stage->slot, true, true);
  XP_CHECK(sh_surrender(caller(), stage->slot));
  sh_children_end(caller(), stage->parent);
}
static void commit_child_or_not(void) {
  sh_status status = sh_commit(&node->worker[1], stage->child_slot);
  stage->committed = status;
}
static void cancel_child(void) {
  sh_cancel_run(&node->d, false, 0);
}
static void is_told_if_it_counts(void) {
  if (stage->committed == SH_OK) {
    is_told();
    return;
  }
  sh_child found[2];
  uint32_t n = told(found, 2);
  XP_CHECK(n == 0 || (n == 1 && rig_error(&node->worker[1], found[0].r) == SH_ERR_CANCELLED));
  finish_all(found, n);
}
const xp_scenario child_of_overdue = {
    .name = "V child: it is committed or cancelled while its caller, who ran too long, lets go",
    .setup = setup_overdue,
    .run = {hand_over_and_surrender, commit_child_or_not, cancel_child},
    .check = is_told_if_it_counts,
    .preemptions = 3,
};

/* ---- kept, or let go of, as it is resolved ---- */

static void setup_held(void) {
  open();
  sh_ref r = call(node->class_id);
  stage->child = r;
  stage->child_slot = rig_claim(&node->worker[1]);
  rig_fill(&node->worker[1], stage->child_slot, 8);
}
static void drop_and_end(void) {
  sh_ref_drop(caller(), stage->child);
  XP_EQUAL(caller()->n_kept, 1);
  XP_CHECK(sh_entry_checked(&node->d.seg, stage->child));
  rig_finish(caller(), stage->slot);
  sh_children_end(caller(), stage->parent);
}
static void all_is_gone(void) {
  XP_EQUAL(caller()->n_kept, 0);
  XP_EQUAL(caller()->kept_bytes, 0);
  XP_EQUAL(rig_value(&node->driver, stage->out), 0);
  sh_ref_drop(&node->driver, stage->out);
  rig_rounds(node, 2);
  XP_EQUAL(node_live(SH_POOL_ENTRY), 0);
  XP_EQUAL(node_live(SH_POOL_SLOT), 0);
  node_check_valid();
}
const xp_scenario child_kept = {
    .name = "V C child: its caller keeps it, and lets go, while it is committed",
    .setup = setup_held,
    .run = {drop_and_end, commit_child},
    .check = all_is_gone,
};

/* SPDX-License-Identifier: Apache-2.0
 * Those who look at records that may be others' the next moment (G): views for people (node/survey.h), and the daemon that looks
 * for a cancelled task's children (node/cancel.c). What they believe was true of one record at one instant. */
#include "scenarios.h"

#include "node.h"
#include "node/cancel.h"
#include "node/survey.h"

#define FIRST 5U
#define SECOND 6U

static struct {
  sh_ref kept[2], out, later, parent;
  uint32_t slot, generation, n_rows;
  sh_id128 task_id;
} *stage;

/* The next one that it allocates is the one that is freed next. */
static void use_up(sh_magazine *m) {
  m->n = 0;
  m->fresh = m->fresh_end;
}

static sh_ref submit(uint32_t function, uint32_t n_returns, const sh_ref *dep) {
  sh_ref out[2];
  rig_call call = {.class_id = node->class_id, .n_returns = n_returns, .deps = dep, .function = function};
  call.n_deps = dep != NULL;
  rig_submit(&node->driver, &call, out);
  return out[0];
}

/* ---- a view of a task ---- */

static void setup_tasks(void) {
  node_open(1, 1);
  stage = xp_room(sizeof *stage);
  for (uint32_t i = 0; i < 2; i++) {
    sh_ref r = rig_put(&node->driver, 1 + i, 8);
    stage->kept[i] = r;
    sh_ref_share(&node->driver, r);
  }
  stage->out = submit(FIRST, 1, NULL);
  sh_ref task = rig_task_of(node, stage->out);
  stage->slot = task.index;
  stage->generation = task.generation;
  use_up(&node->driver.mags[SH_POOL_SLOT]);
  (void)sh_counts_read(&node->d.counts);
}

static void run_and_use_again(void) {
  XP_CHECK(rig_work(&node->worker[0]));
  sh_ref r = submit(SECOND, 2, &stage->kept[1]);
  XP_EQUAL(rig_task_of(node, r).index, stage->slot);
  stage->later = r;
}

static void view_task(void) {
  const sh_segment *s = &node->d.seg;
  sh_task_view v;
  sh_ref row;
  if (!sh_survey_task(s, stage->slot, &v))
    return;
  bool first = v.task.generation == stage->generation;
  XP_EQUAL(v.function.lo, first ? FIRST : SECOND);
  XP_EQUAL(v.n_returns, first ? 1U : 2U);
  XP_EQUAL(v.n_deps, first ? 0U : 1U);
  uint32_t n = sh_survey_arguments(s, v.task, &row, 1);
  XP_CHECK(n <= v.n_deps);
  if (n)
    XP_EQUAL(sh_ref_pack(row), sh_ref_pack(stage->kept[1]));
}

static void tasks_done(void) {
  while (rig_work(&node->worker[0])) {
  }
  XP_EQUAL(rig_value(&node->driver, stage->out), 0);
  XP_EQUAL(rig_value(&node->driver, stage->later), 2);
  node_check_valid();
}

const xp_scenario look_at_task = {
    .name = "G survey: a task is viewed as it ends and its slot becomes another's",
    .setup = setup_tasks,
    .run = {run_and_use_again, view_task},
    .check = tasks_done,
    .may_read_behind = true,
};

/* ---- a view of an object ---- */

static void setup_object(void) {
  node_open(1, 1);
  stage = xp_room(sizeof *stage);
  stage->out = rig_put(&node->driver, FIRST, 8);
  use_up(&node->driver.mags[SH_POOL_ENTRY]);
}

static void drop_and_put_again(void) {
  sh_ref_drop(&node->driver, stage->out);
  sh_ref r = rig_put(&node->driver, SECOND, 16);
  XP_EQUAL(r.index, stage->out.index);
  stage->later = r;
}

static void view_object(void) {
  sh_object_view v;
  if (!sh_survey_object(&node->d.seg, stage->out.index, &v))
    return;
  XP_CHECK(v.closed);
  XP_EQUAL(v.size, v.object.generation == stage->out.generation ? 8U : 16U);
}

static void object_whole(void) {
  XP_EQUAL(rig_value(&node->driver, stage->later), SECOND);
  node_check_valid();
}

const xp_scenario look_at_object = {
    .name = "G C survey: an object is viewed as it goes and its record becomes another's",
    .setup = setup_object,
    .run = {drop_and_put_again, view_object},
    .check = object_whole,
    .may_read_behind = true,
};

/* ---- what a value names, while its bytes become another value's ---- */

#define ROWS 8U /* more than an entry has room for */

static sh_ref put_box(sh_ref inside) {
  sh_ref rows[ROWS];
  for (uint32_t i = 0; i < ROWS; i++)
    rows[i] = inside;
  return rig_put_container(&node->driver, rows, stage->n_rows);
}
static uint64_t loc_of(sh_ref r) {
  return sh_load_relaxed(&sh_entry_at(&node->d.seg, r.index)->loc);
}

static void setup_box_of(uint32_t n_rows) {
  node_open(1, 1);
  stage = xp_room(sizeof *stage);
  stage->n_rows = n_rows;
  for (uint32_t i = 0; i < 2; i++) {
    sh_ref r = rig_put(&node->driver, 1 + i, 8);
    stage->kept[i] = r;
  }
  sh_ref r = put_box(stage->kept[0]);
  stage->out = r;
  XP_EQUAL(sh_loc_in_heap(loc_of(r)), n_rows == ROWS);
  use_up(&node->driver.mags[SH_POOL_ENTRY]);
  for (uint32_t c = 0; c < SH_BLOCK_CLASSES; c++)
    use_up(&node->driver.heap.blocks[c]);
  (void)sh_counts_read(&node->d.counts);
}

static void setup_box(void) {
  setup_box_of(ROWS);
}
static void setup_small_box(void) {
  setup_box_of(1);
}

static void drop_and_box_again(void) {
  uint64_t loc = loc_of(stage->out);
  sh_ref_drop(&node->driver, stage->out);
  for (uint32_t i = 0; i < 2U; i++)
    (void)sh_counts_read(&node->d.counts);
  (void)sh_counts_work(&node->d.counts, SH_COUNTS_ALL);
  sh_ref r = put_box(stage->kept[1]);
  XP_EQUAL(loc_of(r), loc);
  XP_EQUAL(r.index, stage->out.index);
  stage->later = r;
}

static void view_contents(void) {
  sh_ref rows[ROWS];
  uint32_t n = sh_survey_contents(&node->d.seg, stage->out, rows, ROWS);
  for (uint32_t i = 0; i < n; i++)
    XP_EQUAL(sh_ref_pack(rows[i]), sh_ref_pack(stage->kept[0]));
}

static void boxed(void) {
  sh_ref rows[ROWS];
  XP_EQUAL(sh_survey_contents(&node->d.seg, stage->later, rows, ROWS), stage->n_rows);
  XP_EQUAL(sh_ref_pack(rows[0]), sh_ref_pack(stage->kept[1]));
  XP_EQUAL(sh_survey_contents(&node->d.seg, stage->out, rows, ROWS), 0);
  node_check_valid();
}

const xp_scenario look_at_contents = {
    .name = "G survey: what a value names is viewed as its bytes become another's",
    .setup = setup_box,
    .run = {drop_and_box_again, view_contents},
    .check = boxed,
    .may_read_behind = true,
};

const xp_scenario look_at_small_contents = {
    .name = "G survey: what a value names is viewed as its record becomes another's",
    .setup = setup_small_box,
    .run = {drop_and_box_again, view_contents},
    .check = boxed,
    .may_read_behind = true,
};

/* ---- views of what is just being made: nothing of it is seen before its word says that it is there ---- */

static void setup_new(void) {
  node_open(1, 1);
  stage = xp_room(sizeof *stage);
  sh_ref r = submit(FIRST, 1, NULL);
  stage->out = r;
  r = rig_put(&node->driver, 1, 8);
  stage->kept[0] = r;
  sh_ref_share(&node->driver, r);
}

static void make_one(void) {
  sh_ref r = submit(SECOND, 2, &stage->kept[0]);
  stage->later = r;
  XP_CHECK(sh_watch(&node->driver, stage->out) == SH_OK);
  XP_CHECK(rig_work(&node->worker[0]));
}

static void view_all(void) {
  const sh_segment *s = &node->d.seg;
  sh_task_view task;
  sh_object_view object;
  sh_waiter_view waiter;
  sh_ref row;
  if (sh_survey_task(s, 1, &task))
    XP_EQUAL(task.function.lo, SECOND);
  if (sh_survey_arguments(s, (sh_ref){.index = 1, .generation = 1}, &row, 1))
    XP_EQUAL(sh_ref_pack(row), sh_ref_pack(stage->kept[0]));
  if (sh_survey_object(s, stage->out.index, &object) && object.closed)
    XP_EQUAL(object.size, 8U);
  if (sh_survey_waiter(s, 0, &waiter))
    XP_EQUAL(sh_ref_pack(waiter.object), sh_ref_pack(stage->out));
}

static void made(void) {
  XP_EQUAL(rig_value(&node->driver, stage->out), 0);
  XP_EQUAL(rig_task_of(node, stage->later).index, 1U);
  node_check_valid();
}

const xp_scenario look_at_new = {
    .name = "C E R W survey: a task, a value and a waiter are viewed as they are made",
    .setup = setup_new,
    .run = {make_one, view_all},
    .check = made,
};

/* The daemon makes a class, and a client. */
static void setup_empty(void) {
  node_open(1, 1);
  stage = xp_room(sizeof *stage);
}
static void make_class_and_client(void) {
  uint32_t index, epoch;
  (void)rig_define(node, 500, 0);
  XP_EQUAL(sh_repair_register(&node->d, 1, -1, SH_ROLE_WORKER, -1, RIG_ROOT, 0, &index, &epoch), SH_OK);
}
static void view_both(void) {
  const sh_segment *s = &node->d.seg;
  sh_class_view class;
  sh_client_view client;
  if (sh_survey_class(s, node->class_id + 1U, &class))
    XP_EQUAL(class.cpu_milli, 500U);
  if (sh_survey_client(s, node->worker[0].index + 1U, &client))
    XP_EQUAL(client.role, SH_ROLE_WORKER);
}
const xp_scenario look_at_registry = {
    .name = "E survey: a class and a client are viewed as they are made",
    .setup = setup_empty,
    .run = {make_class_and_client, view_both},
    .check = node_check_valid,
};

/* ---- the children of a task that is cancelled ---- */

/* The first task is nobody's child; the second one, in the same slot, is. */
static void setup_family(void) {
  node_open(2, 2);
  stage = xp_room(sizeof *stage);
  uint32_t slot;
  stage->parent = submit(1, 1, NULL);
  XP_EQUAL(sh_next_try(&node->worker[1], &slot), SH_OK);
  const sh_slot *t = sh_slot_at(&node->d.seg, slot);
  stage->task_id = (sh_id128){.lo = t->id_lo, .hi = t->id_hi};
  stage->out = submit(FIRST, 1, NULL);
  stage->slot = rig_task_of(node, stage->out).index;
  use_up(&node->driver.mags[SH_POOL_SLOT]);
}

static void run_stranger_and_submit_child(void) {
  (void)rig_work(&node->worker[0]);
  node->driver.task_id = stage->task_id;
  sh_ref r = submit(SECOND, 1, NULL);
  stage->later = r;
}

static void cancel_parent(void) {
  XP_EQUAL(rig_cancel(node, stage->parent), SH_OK);
}

static void stranger_lives(void) {
  rig_rounds(node, 1);
  XP_CHECK(sh_surrender(&node->worker[1], rig_task_of(node, stage->parent).index));
  rig_rounds(node, 2);
  XP_EQUAL(node->d.n_endings, 0);
  while (rig_work(&node->worker[0])) {
  }
  XP_EQUAL(rig_error(&node->driver, stage->parent), SH_ERR_CANCELLED);
  XP_EQUAL(rig_error(&node->driver, stage->out), 0);
  XP_EQUAL(rig_error(&node->driver, stage->later), SH_ERR_CANCELLED);
  node_check_valid();
}

const xp_scenario look_for_children = {
    .name = "G task: it is cancelled with its children while a stranger's slot becomes a child's",
    .setup = setup_family,
    .run = {run_stranger_and_submit_child, cancel_parent},
    .check = stranger_lives,
    .may_read_behind = true,
};

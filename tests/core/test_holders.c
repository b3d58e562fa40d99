/* SPDX-License-Identifier: Apache-2.0
 * Random programs against a model: clients put, pack, share, take and drop objects, submit and run tasks, fill their logs,
 * and die, also with a value filled and not committed; the repair thread reads and releases when it happens to. The model
 * says how many hold each object. What somebody holds is there, with the right value; what nobody holds is gone.
 *
 * SHOAL_SEED=n repeats a run; SHOAL_LONG makes it millions of steps. */
#include "model.h"

#define STORE_BYTES (512ULL << 20) /* an arena for each client, and some to spare */

enum { DRIVERS = 2, WORKERS = 4, CLIENTS = MODEL_CLIENTS, OBJECTS = MODEL_OBJECTS, ROWS = MODEL_ROWS, TASKS = 200 };
_Static_assert(DRIVERS + WORKERS == CLIENTS, "the model counts for all of them");
static const uint32_t NONE = MODEL_NONE;

typedef struct task {
  bool used;
  uint32_t out, attempt, max_retries, n_args, args[ROWS];
} task;

static rig r;
static sh_self peer;
static sh_self *client[CLIENTS];
static model m;
static task tasks[TASKS];
static uint32_t exported[OBJECTS]; /* holds of the daemon */
static struct running {
  uint32_t slot, task; /* NONE: nothing */
  bool filled;
  uint32_t n_rows, rows[ROWS];
} running[CLIENTS];
static char name[96];

static uint32_t dice(uint32_t n) {
  return model_dice(&m, n);
}

/* ---- what clients do ---- */

static uint64_t random_bytes(void) {
  static const uint64_t sizes[] = {8, 8, 8, 300, 5000, 100000};
  return sizes[dice(6)];
}

static void put(uint32_t c) {
  uint64_t value = dice(1U << 30);
  model_gained(&m, c, model_new(&m, rig_put(client[c], value, random_bytes()), true, value));
}

static void put_container(uint32_t c) {
  uint32_t ids[ROWS];
  sh_ref refs[ROWS];
  uint32_t n = model_some(&m, c, ids, refs);
  if (n == 0)
    return;
  uint32_t id = model_new(&m, rig_put_container(client[c], refs, n), true, 0);
  m.objects[id].n_rows = n;
  for (uint32_t i = 0; i < n; i++) {
    m.objects[id].rows[i] = ids[i];
    m.objects[ids[i]].units++;
  }
  model_gained(&m, c, id);
}

static void drop(uint32_t c, uint32_t id) {
  if (id == NONE)
    return;
  if (dice(2)) {
    sh_ref_drop(client[c], m.objects[id].ref);
  } else {
    sh_ref_bury(client[c], m.objects[id].ref);
    sh_ref_flush(client[c]);
  }
  if (--m.local[c][id] == 0)
    model_unit_gone(&m, id);
}

static void give(uint32_t from, uint32_t to) {
  uint32_t id = model_any(&m, from);
  if (id == NONE)
    return;
  sh_ref_share(client[from], m.objects[id].ref);
  EXPECT_EQ(sh_ref_take(client[to], m.objects[id].ref), SH_OK);
  model_gained(&m, to, id);
  if (dice(2))
    drop(from, id);
}

/* By way of the daemon: the giver may be gone before the receiver has it. */
static void lend(uint32_t from, uint32_t to) {
  uint32_t id = model_any(&m, from);
  if (id == NONE || from == to)
    return;
  model_object *o = &m.objects[id];
  sh_ref_share(client[from], o->ref);
  EXPECT(sh_repair_hold_for(&r.d, client[to]->index, client[to]->epoch, o->ref));
  o->units++;
  if (dice(2))
    drop(from, id);
  if (dice(2))
    rig_rounds(&r, 2);
  EXPECT_EQ(sh_ref_adopt(client[to], o->ref), SH_OK);
  model_gained(&m, to, id);
  model_unit_gone(&m, id);
}

static void export(uint32_t c) {
  uint32_t id = model_any(&m, c);
  if (id == NONE)
    return;
  sh_ref_share(client[c], m.objects[id].ref);
  EXPECT(sh_repair_hold(&r.d, m.objects[id].ref));
  exported[id]++;
  m.objects[id].units++;
}

static void end_export(void) {
  uint32_t start = dice(OBJECTS);
  for (uint32_t i = 0; i < OBJECTS; i++) {
    uint32_t id = (start + i) % OBJECTS;
    if (!exported[id])
      continue;
    exported[id]--;
    sh_repair_drop(&r.d, m.objects[id].ref);
    model_unit_gone(&m, id);
    return;
  }
}

static void open_container(uint32_t c) {
  uint32_t id = model_any(&m, c);
  if (id == NONE || !m.objects[id].resolved || m.objects[id].n_rows == 0)
    return;
  for (uint32_t i = 0; i < m.objects[id].n_rows; i++) {
    EXPECT_EQ(sh_ref_take(client[c], m.objects[m.objects[id].rows[i]].ref), SH_OK);
    model_gained(&m, c, m.objects[id].rows[i]);
  }
  if (dice(2))
    drop(c, id);
}

static void submit(uint32_t c) {
  uint32_t ids[ROWS], t = 0;
  sh_ref refs[ROWS], out;
  while (t < TASKS && tasks[t].used)
    t++;
  if (t == TASKS)
    return;
  uint32_t n = dice(3) ? model_some(&m, c, ids, refs) : 0, retries = dice(3);
  rig_call call = {.class_id = r.class_id, .n_returns = 1, .deps = refs, .n_deps = n, .max_retries = retries};
  call.padding = dice(4) ? 0 : 1000;
  rig_submit(client[c], &call, &out);
  uint32_t id = model_new(&m, out, false, dice(1U << 30));
  model_gained(&m, c, id);
  tasks[t] = (task){.used = true, .out = id, .max_retries = retries, .n_args = n};
  for (uint32_t i = 0; i < n; i++) {
    tasks[t].args[i] = ids[i];
    m.objects[ids[i]].units++;
  }
  if (dice(3) == 0)
    drop(c, id);
}

static void claim(uint32_t c) {
  uint32_t slot;
  if (client[c]->role != SH_ROLE_WORKER || running[c].slot != NONE || sh_next_try(client[c], &slot) != SH_OK)
    return;
  sh_ref out = sh_slot_return(&r.d.seg, sh_slot_at(&r.d.seg, slot), 0);
  uint32_t t = 0;
  while (t < TASKS && !(tasks[t].used && sh_ref_pack(m.objects[tasks[t].out].ref) == sh_ref_pack(out)))
    t++;
  EXPECT(t < TASKS);
  running[c] = (struct running){.slot = slot, .task = t};
  for (uint32_t i = 0; i < tasks[t].n_args; i++) {
    EXPECT(m.objects[tasks[t].args[i]].resolved);
    if (dice(2)) { /* it keeps the argument */
      EXPECT_EQ(sh_ref_take(client[c], m.objects[tasks[t].args[i]].ref), SH_OK);
      model_gained(&m, c, tasks[t].args[i]);
    }
  }
}

/* A cycle of objects, which counting never frees, takes a task that returns its own reference: not here. */
static bool reaches(uint32_t from, uint32_t to) {
  bool found = from == to;
  for (uint32_t i = 0; !found && i < m.objects[from].n_rows; i++)
    found = reaches(m.objects[from].rows[i], to);
  for (uint32_t c = DRIVERS; !found && c < CLIENTS; c++) /* filled, not committed yet */
    if (running[c].slot != NONE && running[c].filled && tasks[running[c].task].out == from)
      for (uint32_t i = 0; !found && i < running[c].n_rows; i++)
        found = reaches(running[c].rows[i], to);
  return found;
}

/* A value, or a container of what the worker holds. It counts from here on, and the worker may die before it commits. */
static void fill(uint32_t c) {
  struct running *now = &running[c];
  if (now->slot == NONE || now->filled)
    return;
  model_object *o = &m.objects[tasks[now->task].out];
  sh_ref refs[ROWS];
  uint8_t *data;
  now->filled = true;
  now->n_rows = 0; /* before the search, which looks at it */
  uint32_t n = dice(2) ? model_some(&m, c, now->rows, refs) : 0;
  for (uint32_t i = 0; i < n; i++)
    if (reaches(now->rows[i], tasks[now->task].out))
      n = 0;
  now->n_rows = n;
  if (now->n_rows == 0) {
    uint64_t bytes = random_bytes();
    EXPECT_EQ(sh_fill(client[c], o->ref, bytes, 0, &data), SH_OK);
    memset(data, (int)(o->value & 255U), bytes);
    memcpy(data, &o->value, sizeof o->value);
    return;
  }
  uint64_t bytes = sizeof(sh_payload) + now->n_rows * sizeof(sh_row);
  EXPECT_EQ(sh_fill(client[c], o->ref, bytes, SH_VALUE_HAS_REFS, &data), SH_OK);
  sh_payload head = {.version = SH_PAYLOAD_VERSION, .n_rows = now->n_rows};
  memcpy(data, &head, sizeof head);
  for (uint32_t i = 0; i < now->n_rows; i++) {
    sh_ref_share(client[c], refs[i]);
    sh_row row = {.index = refs[i].index, .generation = refs[i].generation};
    memcpy(data + sizeof head + i * sizeof row, &row, sizeof row);
    m.objects[now->rows[i]].units++;
  }
  sh_log_append(client[c], SH_LOG_CONTAINS, o->ref);
}

static void task_over(uint32_t t) {
  tasks[t].used = false;
  for (uint32_t i = 0; i < tasks[t].n_args; i++)
    model_unit_gone(&m, tasks[t].args[i]);
  model_resolved(&m, tasks[t].out);
}

static void commit(uint32_t c) {
  struct running now = running[c];
  if (now.slot == NONE || !now.filled)
    return;
  model_object *o = &m.objects[tasks[now.task].out];
  o->n_rows = now.n_rows;
  memcpy(o->rows, now.rows, sizeof now.rows);
  running[c].slot = NONE;
  EXPECT_EQ(sh_commit(client[c], now.slot), SH_OK);
  task_over(now.task);
}

static void attach(uint32_t c);

static void die(uint32_t c) {
  struct running now = running[c];
  sh_put unfinished;
  if (dice(2))
    EXPECT_EQ(sh_put_begin(client[c], random_bytes(), &unfinished), SH_OK);
  rig_detach(&r, client[c]);
  running[c].slot = NONE;
  for (uint32_t i = 0; now.slot != NONE && now.filled && i < now.n_rows; i++)
    model_unit_gone(&m, now.rows[i]);
  if (now.slot != NONE && ++tasks[now.task].attempt > tasks[now.task].max_retries) {
    m.objects[tasks[now.task].out].error = true;
    task_over(now.task);
  }
  for (uint32_t id = 0; id < OBJECTS; id++)
    if (m.local[c][id]) {
      m.local[c][id] = 0;
      model_unit_gone(&m, id);
    }
  attach(c);
}

/* Its log fills up; whoever waits for room sees the repair thread at work. */
static void flood(uint32_t c) {
  uint32_t id = model_any(&m, c);
  for (uint32_t other = 0; id != NONE && other < CLIENTS; other++) {
    if (m.local[other][id])
      continue;
    sh_ref_share(client[c], m.objects[id].ref);
    for (uint32_t i = 0; i < SH_LOG_CELLS; i++) {
      EXPECT_EQ(sh_ref_take(client[other], m.objects[id].ref), SH_OK);
      sh_ref_drop(client[other], m.objects[id].ref);
    }
    return;
  }
}

static void read_logs(sh_a32 *word, uint32_t seq, uint64_t ns) {
  (void)word, (void)seq, (void)ns;
  rig_rounds(&r, 1);
}

static void attach(uint32_t c) {
  if (!client[c]->open)
    rig_attach(&r, client[c], c < DRIVERS ? SH_ROLE_DRIVER : SH_ROLE_WORKER, -1, RIG_ROOT);
  client[c]->wait_hook = read_logs;
  running[c] = (struct running){.slot = NONE};
}

static void check_all(void) {
  uint32_t n_tasks = 0;
  for (uint32_t i = 0; i < TASKS; i++)
    n_tasks += tasks[i].used;
  model_check_all(&m, n_tasks);
}

static void one_step(void) {
  uint32_t c = dice(CLIENTS), other = dice(CLIENTS), what = dice(1000);
  if (model_is_full(&m) && what < 480)
    what += 480; /* drop rather than make */
  if (what < 180)
    put(c);
  else if (what < 280)
    put_container(c);
  else if (what < 380)
    submit(c);
  else if (what < 480)
    open_container(c);
  else if (what < 560)
    give(c, other);
  else if (what < 580)
    lend(c, other);
  else if (what < 600)
    export(c);
  else if (what < 620)
    end_export();
  else if (what < 680)
    claim(DRIVERS + dice(WORKERS));
  else if (what < 740)
    fill(DRIVERS + dice(WORKERS));
  else if (what < 800)
    commit(DRIVERS + dice(WORKERS));
  else if (what < 940)
    drop(c, model_any(&m, c));
  else if (what < 970)
    rig_rounds(&r, 1);
  else if (what < 980)
    (void)sh_counts_read(&r.d.counts);
  else if (what < 990)
    (void)sh_counts_work(&r.d.counts, 0);
  else if (what < 993 && dice(2))
    die(c);
  else if (what == 999 && dice(20) == 0)
    flood(c);
  if ((c = model_any(&m, c)) != NONE)
    model_check(&m, c);
}

static void run(uint64_t seed, uint64_t steps) {
  memset(tasks, 0, sizeof tasks);
  model_open(&m, &r, seed);
  memset(exported, 0, sizeof exported);
  rig_open_sized(&r, WORKERS, WORKERS, STORE_BYTES);
  memset(&peer, 0, sizeof peer);
  for (uint32_t c = 0; c < CLIENTS; c++) {
    client[c] = c == 0 ? &r.driver : c == 1 ? &peer : &r.worker[c - DRIVERS];
    attach(c);
  }
  for (uint64_t step = 1; step <= steps; step++) {
    (void)snprintf(name, sizeof name, "SHOAL_SEED=%llu, step %llu", (unsigned long long)seed, (unsigned long long)step);
    rig_running(name);
    one_step();
    if (step % 500 == 0)
      check_all();
  }
  for (uint32_t i = 0; i < OBJECTS; i++)
    while (exported[i])
      end_export();
  for (uint32_t c = 0; c < CLIENTS; c++)
    die(c); /* whatever they held, nobody does now; the tasks that wait are run for nobody */
  for (bool more = true; more; rig_rounds(&r, 2)) {
    more = false;
    for (uint32_t c = DRIVERS; c < CLIENTS; c++) {
      claim(c);
      fill(c);
      more |= running[c].slot != NONE;
      commit(c);
      for (uint32_t id; (id = model_any(&m, c)) != NONE;)
        drop(c, id);
    }
  }
  check_all();
  rig_detach(&r, &peer);
  rig_expect_empty(&r);
  rig_close(&r);
}

int main(void) {
  const char *given = getenv("SHOAL_SEED");
  bool is_long = getenv("SHOAL_LONG") != NULL;
  if (given) {
    run(strtoull(given, NULL, 10), is_long ? 4000000 : 60000);
    return 0;
  }
  for (uint64_t s = 1; s <= (is_long ? 40U : 4U); s++)
    run(s * 0x9E3779B97F4A7C15ULL, is_long ? 100000 : 15000);
  return 0;
}

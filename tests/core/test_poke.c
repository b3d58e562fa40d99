/* SPDX-License-Identifier: Apache-2.0
 * A peer writes over any word of shared memory. The daemon neither crashes nor hangs; it takes what cannot be right out of
 * use; and who waits for a damaged task or value gets an error that says so. */
#include "branch.h"

#include "base/os.h"
#include "node/call_log.h"
#include "node/known.h"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#define POKES_EACH 100U /* in one branch */
#define PATIENCE_S 20U  /* of CPU for a branch: a hang */

static rig r;
static sh_self actor, logger;
static uint32_t first_seed, seed, actor_class, logger_class, lease_class;
static char name[160];

static uint32_t next_random(void) {
  seed = seed * 1664525U + 1013904223U;
  return seed >> 8;
}
static uint64_t wide_random(void) {
  return (uint64_t)next_random() << 40 ^ (uint64_t)next_random() << 20 ^ next_random();
}

/* ---- a node in which something of everything is under way ---- */

static sh_ref promises[16];
static uint32_t n_promises;

static sh_ref submit(uint32_t class_id, uint32_t flags, uint64_t addend, const sh_ref *dep, uint32_t n_returns) {
  sh_ref out[20];
  rig_call call = {.class_id = class_id, .n_returns = n_returns, .addend = addend, .flags = flags, .max_retries = 1};
  call.deps = dep;
  call.n_deps = dep != NULL;
  rig_submit(&r.driver, &call, out);
  EXPECT(sh_watch(&r.driver, out[0]) != SH_FULL);
  return promises[n_promises++] = out[0];
}

/* One call is logged, one runs, one has not been looked at. */
static void log_a_call(const sh_ref *dep) {
  uint32_t slot;
  sh_ref out[3];
  rig_call call = {.class_id = logger_class, .n_returns = 1, .flags = SH_SLOT_ACTOR_CALL, .max_retries = 1};
  call.deps = dep;
  call.n_deps = 1;
  for (uint32_t i = 0; i < 3; i++)
    rig_submit(&r.driver, &call, &out[i]);
  for (uint32_t i = 0; i < 2; i++) {
    EXPECT_EQ(sh_next_try(&logger, &slot), SH_OK);
    sh_log_begin(&logger, slot);
    if (i == 0)
      rig_finish(&logger, slot);
  }
  EXPECT_EQ(logger.n_logged, 1);
}

static void set_the_table(void) {
  uint32_t slot;
  rig_open(&r, 4, 4);
  n_promises = 0;
  actor_class = rig_actor(&r, &actor);
  logger_class = rig_logging_actor(&r, &logger);
  sh_shape shape = {.root = RIG_ROOT, .n_demands = 1, .kinds = {5}, .milli = {1000}};
  EXPECT_EQ(sh_repair_set_capacity(&r.d, 5, 1000), SH_OK);
  EXPECT_EQ(sh_repair_define_class(&r.d, &shape, &lease_class), SH_OK);
  sh_ref small = rig_put(&r.driver, 1, 8), block = rig_put(&r.driver, 2, 3000), run = rig_put(&r.driver, 3, 200000);
  sh_ref children[3] = {small, block, run};
  (void)rig_put_container(&r.driver, children, 3);
  log_a_call(&block);
  sh_ref running = submit(r.class_id, 0, 5, NULL, 1);
  EXPECT_EQ(sh_next_try(&r.worker[0], &slot), SH_OK);
  (void)submit(r.class_id, 0, 6, &block, 20);
  EXPECT_EQ(sh_next_try(&r.worker[1], &slot), SH_OK);
  rig_fill(&r.worker[1], slot, 3000);
  (void)submit(r.class_id, 0, 7, &running, 1);
  (void)submit(r.class_id, 0, 8, &running, 3);
  (void)submit(r.class_id, 0, 9, &block, 1);
  (void)submit(r.class_id, 0, 10, NULL, 1);
  (void)submit(lease_class, 0, 11, NULL, 1);
  (void)submit(lease_class, 0, 12, NULL, 1);
  (void)submit(actor_class, SH_SLOT_ACTOR_CALL, 13, &running, 1);
  (void)submit(actor_class, SH_SLOT_ACTOR_CALL, 14, NULL, 1);
  EXPECT_EQ(sh_next_try(&actor, &slot), SH_EMPTY);
  EXPECT_EQ(sh_ref_take(&r.worker[2], block), SH_OK);
  sh_pin(&r.worker[2], block);
  sh_idle_announce(&r.worker[2]);
  sh_idle_announce(&r.worker[3]);
  rig_rounds(&r, 1);
}

static void clear_the_table(void) {
  rig_detach(&r, &actor);
  rig_detach(&r, &logger);
  rig_close(&r);
}

/* ---- pokes ---- */

typedef struct place {
  const char *name;
  uint64_t at, bytes;
} place;
static place places[64];
static uint32_t n_places;

static void add_place(const char *what, const void *from, uint64_t bytes) {
  EXPECT(n_places < 64);
  places[n_places++] = (place){what, (uint64_t)((const uint8_t *)from - r.d.seg.base), bytes / 8U * 8U};
}

static void find_places(void) {
  const sh_segment *s = &r.d.seg;
  uint32_t clients = r.d.clients_high + 1U, classes = r.d.classes_high + 1U;
  n_places = 0;
  add_place("header", s->header, sizeof *s->header);
  add_place("clients", sh_client_at(s, 0), clients * sizeof(sh_client));
  add_place("classes", sh_class_at(s, 0), classes * sizeof(sh_class));
  add_place("seats", sh_seats_of(s), 128 + 6 * sizeof(sh_seat));
  add_place("run states", sh_run_state_of(s, 0), 64);
  add_place("arenas", sh_region(s, SH_REGION_ARENAS), s->fixed.n_arenas * sizeof(sh_arena));
  add_place("units", sh_region(s, SH_REGION_UNITS), 2048);
  add_place("unit lengths", sh_region(s, SH_REGION_UNIT_LENS), 1024);
  add_place("fired", sh_region(s, SH_REGION_FIRED), 64);
  for (uint32_t c = 0; c < clients; c++) {
    add_place("names of rings", sh_ring_of(s, c, 0), 64);
    add_place("log", sh_log_cell(s, c, 0), 256);
  }
  for (uint32_t pool = 0; pool < SH_POOL_COUNT; pool++) {
    const sh_pool *p = sh_pool_of(s, pool);
    uint64_t records = (uint64_t)sh_pool_used_chunks(s, pool) * p->chunk_records;
    if (records > 48)
      records = 48;
    if (records == 0)
      continue;
    add_place("chunk owners", sh_pool_owner(s, p, 0), 16);
    add_place("hints", sh_at(s, p->hints), 64);
    add_place("words", sh_at(s, p->words), 8 * records);
    add_place(pool < SH_POOL_BLOCK ? "records" : "payloads", sh_at(s, p->data), records * p->record_bytes);
  }
}

static uint64_t plausible(uint64_t old, const place *p) {
  uint64_t other;
  memcpy(&other, r.d.seg.base + p->at + wide_random() % (p->bytes / 8U) * 8U, sizeof other);
  switch (next_random() % 8U) {
  case 0:
    return wide_random();
  case 1:
    return old ^ 1ULL << next_random() % 64U;
  case 2:
    return old + 1U;
  case 3:
    return old - 1U;
  case 4:
    return other;
  case 5:
    return (old & 0xFFFFFFFFU) | wide_random() << 32;
  case 6:
    return (old & ~0xFFFFFFFFULL) | (uint32_t)wide_random();
  default:
    return next_random() % 2U ? 0 : UINT64_MAX;
  }
}

static void poke(void) {
  const place *p = &places[next_random() % n_places];
  uint64_t at = p->at + wide_random() % (p->bytes / 8U) * 8U, old, value;
  memcpy(&old, r.d.seg.base + at, sizeof old);
  value = plausible(old, p);
  memcpy(r.d.seg.base + at, &value, sizeof value);
  if (getenv("SHOAL_TEST_VERBOSE"))
    fprintf(stderr, "  %s + %llu: %016llx -> %016llx\n", p->name, (unsigned long long)(at - p->at),
            (unsigned long long)old, (unsigned long long)value);
}

/* Whoever wants room, as far as its record says, is looked for; what could go, and what should come, is chosen. */
static void serve_the_store(void) {
  sh_shortage shortage;
  sh_victim victims[16];
  sh_ref next[16];
  bool has_room;
  sh_spill_shortage(&r.d, &shortage);
  (void)sh_spill_choose(&r.d, shortage.largest, shortage.total, victims, 16, &has_room);
  (void)sh_spill_next(&r.d, next, 16);
}

/* What the daemon does all day. */
static void serve(uint32_t turn) {
  sh_stats stats;
  sh_event events[64];
  if (turn % 4U == 0)
    rig_tick(&r);
  else
    rig_rounds(&r, 1);
  if (turn % 8U == 1U)
    serve_the_store();
  if (turn % 16U == 0)
    sh_repair_stats(&r.d, &stats);
  (void)sh_repair_events(&r.d, events, 64);
}

static void serve_the_end(void) {
  sh_system_error end = {.code = SH_ERR_ACTOR_DIED, .class_id = actor_class, .wait_status = -1};
  sh_ref any = {.index = next_random() % 64U, .generation = 1};
  uint32_t gpus;
  if (sh_repair_hold(&r.d, any))
    sh_repair_drop(&r.d, any);
  (void)sh_repair_reserve_actor(&r.d, actor_class, &gpus);
  sh_repair_round(&r.d, (int32_t)(1U + next_random() % (r.d.clients_high - 1U)));
  sh_repair_close_class(&r.d, actor_class, &end);
  sh_repair_close_class(&r.d, logger_class, &end);
  rig_tick(&r);
  if (next_random() % 2U)
    sh_repair_end_root(&r.d, RIG_ROOT);
  for (uint32_t c = 1; c < r.d.clients_high; c++)
    if (sh_known_live(&r.d, c))
      sh_repair_round(&r.d, (int32_t)c);
  for (uint32_t i = 0; i < 4; i++)
    rig_tick(&r);
  (void)sh_repair_is_valid(&r.d);
}

static void limit_cpu(void) {
  struct rlimit limit = {.rlim_cur = PATIENCE_S, .rlim_max = PATIENCE_S};
  EXPECT(setrlimit(RLIMIT_CPU, &limit) == 0);
}

static void test_daemon_survives_any_poke(void) {
  uint32_t branches = getenv("SHOAL_LONG") ? 10000 : 200;
  set_the_table();
  find_places();
  for (uint32_t i = 0; i < branches; i++) {
    uint32_t from = seed = first_seed + i * 7919U;
    (void)snprintf(name, sizeof name, "any poke, SHOAL_SEED=%u", from);
    rig_running(name);
    pid_t branch = branch_off(&r);
    if (branch == 0) {
      limit_cpu();
      uint32_t pokes = 1U + next_random() % (2U * POKES_EACH - 1U);
      for (uint32_t turn = 0; turn < pokes; turn++) {
        poke();
        serve(turn);
      }
      serve_the_end();
      branch_exit(0);
    }
    EXPECT_EQ(branch_end(branch), 0);
  }
  clear_the_table();
}

/* ---- who waits is told ---- */

static sh_slot *slot_of(sh_ref promise) {
  sh_ref task = sh_ref_unpack(sh_load_relaxed(&sh_entry_at(&r.d.seg, promise.index)->producer));
  return sh_slot_at(&r.d.seg, task.index);
}

static void expect_damaged(const char *what, uint32_t promise) {
  (void)snprintf(name, sizeof name, "damaged %s of promise %u", what, promise);
  rig_running(name);
  for (uint32_t i = 0; i < 6; i++)
    rig_tick(&r);
  EXPECT(r.d.quarantined > 0);
  EXPECT_EQ(rig_error(&r.driver, promises[promise]), SH_ERR_DAMAGED);
}

#define DAMAGE(promise, what, ...)                  \
  do {                                              \
    pid_t branch = branch_off(&r);                  \
    if (branch == 0) {                              \
      limit_cpu();                                  \
      sh_ref p = promises[promise];                 \
      sh_slot *t = slot_of(p);                      \
      sh_entry *e = sh_entry_at(&r.d.seg, p.index); \
      (void)t, (void)e;                             \
      __VA_ARGS__;                                  \
      expect_damaged(what, promise);                \
      branch_exit(0);                               \
    }                                               \
    EXPECT_EQ(branch_end(branch), 0);               \
  } while (0)

static void test_promises_of_damaged_records_are_errors(void) {
  set_the_table();
  for (uint32_t i = 0; i < n_promises; i++) {
    DAMAGE(i, "number of returns", t->n_returns = UINT32_MAX);
    DAMAGE(i, "size of the spec", t->spec_bytes = 1ULL << 40);
    DAMAGE(i, "number of arguments", t->n_deps = 1U << 20);
    DAMAGE(i, "location of the spec", t->loc = 0xFFFFFFFFFFFFFFF2U);
    DAMAGE(i, "class", sh_store32_relaxed(&t->x_class, UINT32_MAX));
    DAMAGE(i, "state", t->word = (t->word & ~(15ULL << SH_STATE_SHIFT)) | 11ULL << SH_STATE_SHIFT);
    DAMAGE(i, "generation of the task", t->word += 7);
    DAMAGE(i, "record of the task", memset((void *)t, 0xA5, sizeof *t));
    DAMAGE(i, "producer", e->producer = 0);
    DAMAGE(i, "head", e->head = wide_random() | 1ULL << 63);
    DAMAGE(i, "value", e->head |= SH_HEAD_CLOSED; e->loc = SH_LOC_BLOCK | 99999999ULL << 8; e->size_flags = 100);
  }
  clear_the_table();
}

/* What only looks wrong to those who look for it is found, and goes on. */
static void test_lost_hints_and_waiters_are_found(void) {
  set_the_table();
  sh_ring *ring = sh_ring_named(&r.d.seg, r.driver.index, r.class_id);
  EXPECT(ring);
  sh_store_relaxed(&ring->x_head, sh_load_relaxed(&ring->x_tail)); /* all hints are gone */
  sh_waiters ws = sh_waiters_of(&r.d.seg);
  for (uint32_t i = 0; i < 64; i++)
    if (sh_load32_relaxed(&ws.records[i].kind) == SH_WAITS_TASK)
      sh_store_relaxed(&ws.records[i].expect, 0);
  rig_finish(&r.worker[0], sh_ref_unpack(sh_load_relaxed(&sh_entry_at(&r.d.seg, promises[0].index)->producer)).index);
  for (uint32_t i = 0; i < 6; i++) { /* for each link of the chain, once to doubt and once to act */
    rig_look_at_everything(&r);
    rig_work_all(&r);
  }
  for (uint32_t i = 2; i < 6; i++)
    EXPECT(rig_is_closed(&r.driver, promises[i]) && !rig_error(&r.driver, promises[i]));
  clear_the_table();
}

/* The daemon's own records are written again. */
static void test_own_records_are_restored(void) {
  set_the_table();
  const sh_segment *s = &r.d.seg;
  sh_class *c = sh_class_at(s, r.class_id);
  sh_client *w = sh_client_at(s, r.worker[2].index);
  sh_class class_before = *c;
  memset((void *)&c->word, 0xFF, offsetof(sh_class, x_bits));
  sh_store32_relaxed(&w->x_epoch, 77);
  sh_store32_relaxed(&w->x_fenced, 1);
  sh_store32_relaxed(&s->header->x_mode, SH_MODE_STOPPED);
  memset((void *)&s->header->fixed, 0xFF, sizeof s->header->fixed);
  sh_store32_relaxed(&s->header->x_clients_high, UINT32_MAX);
  sh_store32_relaxed(&s->header->x_classes_high, UINT32_MAX);
  sh_store_relaxed(&sh_seats_of(s)->seat[3].word, sh_seat_word(999, SH_SEAT_RUN, 5));
  rig_tick(&r);
  EXPECT(memcmp(&class_before, c, offsetof(sh_class, x_bits)) == 0);
  EXPECT_EQ(sh_self_usable(&r.worker[2]), SH_OK);
  EXPECT_EQ(sh_clients_high(s), r.d.clients_high);
  EXPECT(memcmp(&s->header->fixed, &s->fixed, sizeof s->fixed) == 0);
  EXPECT_EQ(sh_seat_state_of(sh_load_relaxed(&sh_seats_of(s)->seat[3].word)), SH_SEAT_FREE);
  EXPECT(r.d.quarantined >= 4);
  clear_the_table();
}

static void test_client_with_a_damaged_log_is_fenced(void) {
  set_the_table();
  sh_store_relaxed(&r.worker[2].me->x_log_tail, 1ULL << 50);
  rig_rounds(&r, 3);
  EXPECT_EQ(r.d.quarantined, 1);
  EXPECT_EQ(sh_self_usable(&r.worker[2]), SH_FENCED);
  clear_the_table();
}

int main(void) {
  const char *given = getenv("SHOAL_SEED");
  first_seed = seed = given ? (uint32_t)strtoul(given, NULL, 10) : (uint32_t)getpid() * 2654435761U;
  RUN(test_promises_of_damaged_records_are_errors);
  RUN(test_lost_hints_and_waiters_are_found);
  RUN(test_own_records_are_restored);
  RUN(test_client_with_a_damaged_log_is_fenced);
  test_daemon_survives_any_poke();
  return 0;
}

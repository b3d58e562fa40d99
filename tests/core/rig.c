/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"

#include "base/os.h"
#include "node/call_log.h"
#include "node/cancel.h"
#include "node/known.h"

#define STORE_BYTES (128ULL << 20)
#define MANY_CORES 64U /* whoever wants to spin may */
#define VALUE_MIN 8U

static const char *running = "";

/* Of the stream that runs now: its worker closes those that nobody did, as its task must not end before them. */
#define RIG_PERMITS 16U
static sh_ref permits[RIG_PERMITS];
static uint32_t n_permits;

void rig_running(const char *test) {
  running = test;
  if (getenv("SHOAL_TEST_VERBOSE"))
    fprintf(stderr, "%s\n", test);
}

_Noreturn void rig_fail(const char *file, int line, const char *what, uint64_t a, uint64_t b) {
  fprintf(stderr, "%s:%d: in %s: %s (%llu, %llu)\n", file, line, running, what, (unsigned long long)a,
          (unsigned long long)b);
  abort();
}

void rig_attach(rig *r, sh_self *self, uint32_t role, int32_t class_id, uint32_t root) {
  uint32_t index, epoch;
  EXPECT_EQ(sh_repair_register(&r->d, sh_os_pid(), -1, role, class_id, root, 0, &index, &epoch), SH_OK);
  EXPECT_EQ(sh_self_open_over(self, &r->d.seg, r->d.poke_fd, index, epoch), SH_OK);
}

static void open_with(rig *r, uint32_t n_workers, uint32_t n_seats, uint64_t store_bytes, uint32_t cores) {
  memset(r, 0, sizeof *r);
  n_permits = 0;
  sh_segment_config config = {.store_bytes = store_bytes, .n_seats = n_seats, .cores = cores, .small = 1};
  EXPECT_EQ(sh_repair_open(&r->d, &config), SH_OK);
  sh_shape shape = {.root = RIG_ROOT, .cpu_milli = SH_CPU_MILLI};
  EXPECT_EQ(sh_repair_define_class(&r->d, &shape, &r->class_id), SH_OK);
  rig_attach(r, &r->driver, SH_ROLE_DRIVER, -1, RIG_ROOT);
  r->n_workers = n_workers;
  for (uint32_t i = 0; i < n_workers; i++)
    rig_attach(r, &r->worker[i], SH_ROLE_WORKER, -1, RIG_ROOT);
}

void rig_open(rig *r, uint32_t n_workers, uint32_t n_seats) {
  open_with(r, n_workers, n_seats, STORE_BYTES, MANY_CORES);
}

void rig_open_sized(rig *r, uint32_t n_workers, uint32_t n_seats, uint64_t store_bytes) {
  open_with(r, n_workers, n_seats, store_bytes, 2);
}

void rig_close(rig *r) {
  EXPECT(sh_repair_is_valid(&r->d));
  sh_self_close(&r->driver);
  for (uint32_t i = 0; i < r->n_workers; i++)
    sh_self_close(&r->worker[i]);
  sh_repair_close(&r->d);
}

void rig_detach(rig *r, sh_self *self) {
  uint32_t index = self->index;
  sh_self_close(self);
  sh_repair_round(&r->d, (int32_t)index);
}

static uint32_t actor_of(rig *r, sh_self *self, bool logs) {
  sh_shape shape = {.root = RIG_ROOT, .logs = logs};
  uint32_t class_id, gpus;
  EXPECT_EQ(sh_repair_define_actor(&r->d, &shape, &class_id), SH_OK);
  EXPECT(sh_repair_reserve_actor(&r->d, class_id, &gpus));
  sh_repair_set_restarts(&r->d, class_id, logs, 0);
  rig_attach(r, self, SH_ROLE_ACTOR, (int32_t)class_id, RIG_ROOT);
  return class_id;
}

uint32_t rig_actor(rig *r, sh_self *self) {
  return actor_of(r, self, false);
}

uint32_t rig_logging_actor(rig *r, sh_self *self) {
  uint32_t class_id = actor_of(r, self, true);
  EXPECT(sh_log_open(self, 0));
  return class_id;
}

void rig_restart_actor(rig *r, sh_self *self, uint32_t class_id, uint32_t incarnation) {
  rig_detach(r, self);
  sh_repair_set_restarts(&r->d, class_id, true, incarnation);
  rig_attach(r, self, SH_ROLE_ACTOR, (int32_t)class_id, RIG_ROOT);
}

uint32_t rig_define(rig *r, uint32_t cpu_milli, uint32_t demanded_kind) {
  sh_shape shape = {.root = RIG_ROOT, .cpu_milli = cpu_milli, .n_demands = demanded_kind != 0};
  uint32_t class_id;
  shape.kinds[0] = demanded_kind;
  shape.milli[0] = demanded_kind ? 1000 : 0;
  EXPECT_EQ(sh_repair_define_class(&r->d, &shape, &class_id), SH_OK);
  return class_id;
}

sh_ref rig_submit_to(rig *r, uint32_t class_id) {
  sh_ref out;
  rig_call call = {.class_id = class_id, .n_returns = 1};
  rig_submit(&r->driver, &call, &out);
  return out;
}

void rig_rounds(rig *r, uint32_t n) {
  for (uint32_t i = 0; i < n; i++) {
    r->d.last_tick_ns = sh_os_now_ns(); /* no tick: without faults nothing may depend on it */
    sh_repair_round(&r->d, -1);
  }
}

void rig_tick(rig *r) {
  r->d.last_tick_ns = 0;
  sh_repair_round(&r->d, -1);
}

void rig_look_at_everything(rig *r) {
  r->d.heal_record = 0;
  do {
    sh_heal(&r->d);
  } while (r->d.heal_record != 0);
}

void rig_expect_empty(rig *r) {
  for (uint32_t i = 0; i < r->n_workers; i++)
    if (r->worker[i].open)
      sh_seat_leave(&r->worker[i]);
  rig_rounds(r, 2);
  (void)sh_counts_work(&r->d.counts, SH_COUNTS_ALL);
  if (r->d.sweeps)
    rig_look_at_everything(r); /* what a death leaves in chunks of others is found there */
  sh_stats stats;
  sh_repair_stats(&r->d, &stats);
  EXPECT(sh_repair_is_valid(&r->d));
  EXPECT_EQ(stats.live_slots, 0);
  EXPECT_EQ(stats.live_entries, 0);
  EXPECT_EQ(stats.live_waiters, 0);
  EXPECT_EQ(stats.live_bytes, 0);
  EXPECT_EQ(stats.free_seats, r->d.seg.fixed.n_seats);
  EXPECT_EQ(stats.quarantined, 0);
}

void rig_close_empty(rig *r, const sh_ref *refs, uint32_t n) {
  for (uint32_t i = 0; i < n; i++)
    sh_ref_drop(&r->driver, refs[i]);
  rig_expect_empty(r);
  EXPECT_EQ(r->d.n_endings, 0);
  EXPECT_EQ(r->d.repairs, 0);
  rig_close(r);
}

sh_status rig_cancel(rig *r, sh_ref out) {
  return sh_repair_cancel(&r->d, rig_task_of(r, out), false, true);
}

/* A value fills its bytes with a pattern of itself, so that overlap shows. */
static void write_value(uint8_t *data, uint64_t value, uint64_t bytes) {
  memset(data, (int)(value & 255U), bytes);
  memcpy(data, &value, sizeof value);
}

sh_ref rig_put(sh_self *self, uint64_t value, uint64_t bytes) {
  sh_put put;
  EXPECT_EQ(sh_put_begin(self, bytes < VALUE_MIN ? VALUE_MIN : bytes, &put), SH_OK);
  write_value(put.data, value, put.bytes);
  sh_put_commit(self, &put, 0);
  return put.ref;
}

static void write_rows(uint8_t *data, const sh_ref *refs, uint32_t n) {
  sh_payload head = {.version = SH_PAYLOAD_VERSION, .n_rows = n};
  memcpy(data, &head, sizeof head);
  for (uint32_t i = 0; i < n; i++) {
    sh_row row = {.index = refs[i].index, .generation = refs[i].generation};
    memcpy(data + sizeof head + i * sizeof row, &row, sizeof row);
  }
}

sh_ref rig_put_container(sh_self *self, const sh_ref *children, uint32_t n) {
  sh_put put;
  for (uint32_t i = 0; i < n; i++)
    sh_ref_share(self, children[i]);
  EXPECT_EQ(sh_put_begin(self, sizeof(sh_payload) + n * sizeof(sh_row), &put), SH_OK);
  write_rows(put.data, children, n);
  sh_put_commit(self, &put, SH_VALUE_HAS_REFS);
  return put.ref;
}

void rig_fill_container(sh_self *worker, sh_ref out, sh_ref inside) {
  uint8_t *data;
  sh_ref_share(worker, inside);
  EXPECT_EQ(sh_fill(worker, out, sizeof(sh_payload) + sizeof(sh_row), SH_VALUE_HAS_REFS, &data), SH_OK);
  write_rows(data, &inside, 1);
  sh_log_append(worker, SH_LOG_CONTAINS, out);
}

bool rig_is_closed(const sh_self *self, sh_ref r) {
  return sh_entry_is_closed(sh_entry_at(&self->seg, r.index), r.generation);
}

uint64_t rig_value(const sh_self *self, sh_ref r) {
  sh_entry *e = sh_entry_checked(&self->seg, r);
  EXPECT(e && sh_entry_is_closed(e, r.generation));
  uint64_t flags = sh_load_relaxed(&e->size_flags), bytes = flags & SH_VALUE_SIZE_MASK, value;
  EXPECT(!(flags & (SH_VALUE_ERROR | SH_VALUE_HAS_REFS)));
  const uint8_t *data = sh_entry_bytes(&self->seg, e);
  EXPECT(data && bytes >= sizeof value);
  memcpy(&value, data, sizeof value);
  for (uint64_t i = sizeof value; i < bytes; i++)
    EXPECT(data[i] == (uint8_t)value);
  return value;
}

uint32_t rig_error(const sh_self *self, sh_ref r) {
  sh_entry *e = sh_entry_checked(&self->seg, r);
  EXPECT(e && sh_entry_is_closed(e, r.generation));
  if (!(sh_load_relaxed(&e->size_flags) & SH_VALUE_ERROR))
    return 0;
  sh_system_error error;
  memcpy(&error, sh_entry_bytes(&self->seg, e) + sizeof(sh_payload), sizeof error);
  return error.code;
}

sh_status rig_try_submit(sh_self *self, const rig_call *call, sh_ref *returns) {
  sh_call c = {.class_id = call->class_id,
               .fn_lo = call->function,
               .n_returns = call->n_returns,
               .max_retries = call->max_retries,
               .timeout_ns = call->timeout_ns,
               .flags = call->flags,
               .ahead = call->ahead};
  uint64_t rows_bytes = sizeof(sh_payload) + call->n_deps * sizeof(sh_row);
  uint32_t slot;
  uint8_t *payload;
  for (uint32_t i = 0; i < call->n_deps; i++)
    sh_ref_share(self, call->deps[i]);
  sh_status status = sh_submit_begin(self, &c, rows_bytes + sizeof call->addend + call->padding, call->n_deps, &slot,
                                     &payload, returns);
  if (status != SH_OK)
    return status;
  write_rows(payload, call->deps, call->n_deps);
  memcpy(payload + rows_bytes, &call->addend, sizeof call->addend);
  return sh_submit_commit(self, slot, call->n_deps > 0, returns);
}

void rig_submit(sh_self *self, const rig_call *call, sh_ref *returns) {
  EXPECT_EQ(rig_try_submit(self, call, returns), SH_OK);
}

sh_ref rig_submit_one(rig *r, uint64_t addend, const sh_ref *deps, uint32_t n_deps) {
  sh_ref out;
  rig_call call = {.class_id = r->class_id, .n_returns = 1, .n_deps = n_deps, .deps = deps, .addend = addend};
  rig_submit(&r->driver, &call, &out);
  return out;
}

/* The answer of a task, or the reference of an argument that is an error. */
static bool answer(sh_self *worker, uint32_t slot, uint64_t *sum, sh_ref *bad) {
  sh_slot *t = sh_slot_at(&worker->seg, slot);
  const sh_payload *p = sh_slot_payload(&worker->seg, t);
  EXPECT(p);
  memcpy(sum, (const uint8_t *)p + sh_payload_inband_offset(p), sizeof *sum);
  for (uint32_t i = 0; i < t->n_deps; i++) {
    sh_ref dep = {.index = sh_payload_rows(p)[i].index, .generation = sh_payload_rows(p)[i].generation};
    if (rig_error(worker, dep)) {
      *bad = dep;
      return false;
    }
    *sum += rig_value(worker, dep);
  }
  return true;
}

void rig_fill(sh_self *worker, uint32_t slot, uint64_t bytes) {
  rig_fill_plus(worker, slot, bytes, 0);
}

void rig_fill_plus(sh_self *worker, uint32_t slot, uint64_t bytes, uint64_t plus) {
  sh_slot *t = sh_slot_at(&worker->seg, slot);
  uint64_t sum;
  sh_ref bad;
  bool good = answer(worker, slot, &sum, &bad);
  sum += plus;
  for (uint32_t i = 0; i < t->n_returns; i++) {
    sh_ref out = sh_slot_return(&worker->seg, t, i);
    uint64_t size = bytes < VALUE_MIN ? VALUE_MIN : bytes;
    uint8_t *data;
    if (!good) {
      sh_system_error error = {.code = rig_error(worker, bad)};
      sh_fill_system_error(&worker->seg, out, &error);
      continue;
    }
    EXPECT_EQ(sh_fill(worker, out, size, 0, &data), SH_OK);
    write_value(data, sum + i, size);
  }
}

void rig_finish(sh_self *worker, uint32_t slot) {
  rig_fill(worker, slot, VALUE_MIN);
  EXPECT_EQ(sh_commit(worker, slot), SH_OK);
}

sh_ref rig_task_of(const rig *r, sh_ref out) {
  return sh_ref_unpack(sh_load_relaxed(&sh_entry_at(&r->d.seg, out.index)->producer));
}

uint32_t rig_state_of(const rig *r, sh_ref out) {
  return sh_word_state(sh_load_relaxed(&sh_slot_at(&r->d.seg, rig_task_of(r, out).index)->word));
}

uint32_t rig_claim(sh_self *worker) {
  uint32_t slot;
  EXPECT_EQ(sh_next_try(worker, &slot), SH_OK);
  return slot;
}

sh_ref rig_submit_child(rig *r, sh_self *self, uint32_t slot) {
  const sh_slot *t = sh_slot_at(&r->d.seg, slot);
  sh_ref out;
  self->task_id = (sh_id128){.lo = t->id_lo, .hi = t->id_hi};
  rig_call call = {.class_id = r->class_id, .n_returns = 1};
  rig_submit(self, &call, &out);
  return out;
}

void rig_replace(rig *r, sh_self *worker) {
  rig_detach(r, worker);
  rig_attach(r, worker, SH_ROLE_WORKER, -1, RIG_ROOT);
}

uint32_t rig_condemned(rig *r) {
  sh_event events[64];
  uint32_t n = sh_repair_events(&r->d, events, 64), found = 0;
  for (uint32_t i = 0; i < n; i++)
    if (events[i].kind == SH_EVENT_CONDEMNED)
      found = (uint32_t)events[i].a;
  return found;
}

bool rig_yield(sh_self *worker, uint32_t slot, uint64_t value, uint64_t bytes) {
  sh_ref permit, tail = sh_slot_return(&worker->seg, sh_slot_at(&worker->seg, slot), SH_STREAM_TAIL);
  uint8_t *data;
  sh_status status = sh_stream_begin(worker, slot, &permit);
  if (status == SH_EMPTY)
    return false;
  EXPECT_EQ(status, SH_OK);
  uint64_t size = bytes < VALUE_MIN ? VALUE_MIN : bytes;
  EXPECT_EQ(sh_fill(worker, tail, size, 0, &data), SH_OK);
  write_value(data, value, size);
  sh_stream_seal(worker, slot);
  if (permit.generation && n_permits < RIG_PERMITS)
    permits[n_permits++] = permit;
  else if (permit.generation)
    sh_ref_drop(worker, permit);
  return true;
}

void rig_drop_permits(sh_self *worker) {
  while (n_permits)
    sh_ref_drop(worker, permits[--n_permits]);
}

void rig_end_stream(sh_self *worker, uint32_t slot) {
  uint8_t *data;
  sh_stream_withdraw(worker, slot);
  for (uint32_t i = 0; i < n_permits; i++)
    sh_seal(worker, permits[i]);
  rig_drop_permits(worker);
  EXPECT_EQ(sh_fill(worker, sh_slot_return(&worker->seg, sh_slot_at(&worker->seg, slot), SH_STREAM_DONE), VALUE_MIN, 0,
                    &data),
            SH_OK);
  write_value(data, 6, VALUE_MIN);
  sh_stream_fill_end(worker, slot);
  EXPECT_EQ(sh_commit(worker, slot), SH_OK);
}

bool rig_work(sh_self *worker) {
  uint32_t slot;
  if (sh_next_try(worker, &slot) != SH_OK)
    return false;
  rig_finish(worker, slot);
  return true;
}

void rig_work_all(rig *r) {
  for (bool more = true; more;) {
    more = false;
    for (uint32_t i = 0; i < r->n_workers; i++)
      if (r->worker[i].open && rig_work(&r->worker[i]))
        more = true;
    for (uint32_t i = 0; i < r->n_workers; i++)
      if (r->worker[i].open)
        sh_idle_announce(&r->worker[i]); /* a lease may be granted to one that is idle */
    rig_rounds(r, 1);
    for (uint32_t i = 0; i < r->n_workers; i++)
      if (r->worker[i].open)
        sh_idle_withdraw(&r->worker[i]);
  }
}

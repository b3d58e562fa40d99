/* SPDX-License-Identifier: Apache-2.0
 * Spilling: what goes and what stays, the way to disk and back, and what becomes of objects that are dropped meanwhile. */
#include "disk.h"

#include "base/os.h"

#include <pthread.h>

static rig r;

static void test_bytes_go_and_come_back(void) {
  static const uint64_t sizes[] = {65, 1000, 32768, 32769, RUN_BYTES, 2 * MIB + 5, 32 * MIB, 33 * MIB};
  disk_open(&r, 1, 256 * MIB);
  for (uint32_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    sh_ref ref = rig_put(&r.driver, 77 + i, sizes[i]);
    EXPECT_EQ(sh_spill_evict(&r.d, ref), SH_LOST); /* without a copy */
    EXPECT(disk_write(&r, ref));
    EXPECT_EQ(disk_look(&r.driver, ref), 77 + i); /* a copy changes nothing */
    EXPECT_EQ(sh_spill_written(&r.d, ref, 99), SH_LOST);
    EXPECT_EQ(sh_spill_evict(&r.d, ref), SH_OK);
    EXPECT_EQ(r.d.spill.bytes_away, sizes[i]);
    sh_pin(&r.driver, ref);
    EXPECT(sh_object_look(&r.driver, ref) == NULL);
    sh_unpin(&r.driver, ref);
    disk_bring_back(&r, ref);
    EXPECT_EQ(disk_look(&r.driver, ref), 77 + i);
    EXPECT_EQ(sh_spill_evict(&r.d, ref), SH_OK); /* its copy is still good */
    disk_bring_back(&r, ref);
    sh_restore again;
    EXPECT_EQ(sh_restore_begin(&r.d, ref, &again), SH_EMPTY);
    sh_ref_drop(&r.driver, ref);
    disk_expect_empty(&r);
  }
  disk_close(&r);
}

static void test_inline_values_and_promises_stay(void) {
  disk_open(&r, 1, 64 * MIB);
  uint64_t bytes;
  sh_ref small = rig_put(&r.driver, 5, 8), promise = rig_submit_one(&r, 1, NULL, 0);
  EXPECT(sh_spill_bytes(&r.d, small, &bytes) == NULL);
  EXPECT(sh_spill_bytes(&r.d, promise, &bytes) == NULL);
  uint32_t slot;
  EXPECT_EQ(sh_next_try(&r.worker[0], &slot), SH_OK);
  rig_fill(&r.worker[0], slot, RUN_BYTES); /* filled, not committed */
  EXPECT(sh_spill_bytes(&r.d, promise, &bytes) == NULL);
  EXPECT_EQ(sh_commit(&r.worker[0], slot), SH_OK);
  disk_spill(&r, promise);
  disk_bring_back(&r, promise);
  EXPECT_EQ(disk_look(&r.driver, promise), 1);
  sh_ref_drop(&r.driver, small);
  sh_ref_drop(&r.driver, promise);
  disk_expect_empty(&r);
  disk_close(&r);
}

static void test_what_is_pinned_stays(void) {
  disk_open(&r, 1, 64 * MIB);
  sh_ref ref = rig_put(&r.driver, 9, RUN_BYTES);
  EXPECT(disk_write(&r, ref));
  for (uint32_t i = 0; i < 70000; i++)
    sh_pin(&r.driver, ref);
  EXPECT_EQ(sh_spill_evict(&r.d, ref), SH_AGAIN);
  for (uint32_t i = 0; i < 69999; i++)
    sh_unpin(&r.driver, ref);
  EXPECT_EQ(sh_spill_evict(&r.d, ref), SH_AGAIN);
  EXPECT_EQ(rig_value(&r.driver, ref), 9);
  sh_unpin(&r.driver, ref);
  EXPECT_EQ(sh_spill_evict(&r.d, ref), SH_OK);
  disk_bring_back(&r, ref);
  sh_ref_drop(&r.driver, ref);
  disk_expect_empty(&r);
  disk_close(&r);
}

/* A worker looks at an argument that only its task holds, then makes a view that outlives the look. */
static void test_pins_survive_taking_and_dropping_the_reference(void) {
  disk_open(&r, 1, 64 * MIB);
  sh_self *w = &r.worker[0];
  sh_ref ref = rig_put(&r.driver, 9, RUN_BYTES);
  sh_ref_share(&r.driver, ref);
  rig_rounds(&r, 1);
  EXPECT(disk_write(&r, ref));
  sh_pin(w, ref);
  EXPECT_EQ(sh_ref_take(w, ref), SH_OK);
  sh_pin(w, ref);
  sh_unpin(w, ref);
  EXPECT_EQ(sh_spill_evict(&r.d, ref), SH_AGAIN);
  sh_ref_drop(w, ref);
  EXPECT_EQ(sh_spill_evict(&r.d, ref), SH_AGAIN);
  sh_unpin(w, ref);
  EXPECT_EQ(sh_spill_evict(&r.d, ref), SH_OK);
  sh_ref_drop(&r.driver, ref);
  disk_expect_empty(&r);
  disk_close(&r);
}

static void test_object_that_is_dropped_while_away(void) {
  disk_open(&r, 1, 64 * MIB);
  sh_ref own = rig_put(&r.driver, 1, RUN_BYTES), shared = rig_put(&r.driver, 2, RUN_BYTES);
  sh_ref_share(&r.driver, shared);
  disk_spill(&r, own);
  disk_spill(&r, shared);
  sh_ref_drop(&r.driver, own);
  sh_ref_drop(&r.driver, shared);
  disk_expect_empty(&r);
  disk_close(&r);
}

static void test_object_that_is_dropped_on_its_way(void) {
  disk_open(&r, 1, 64 * MIB);
  sh_ref out = rig_put(&r.driver, 1, RUN_BYTES), back = rig_put(&r.driver, 2, RUN_BYTES);
  uint64_t bytes;
  EXPECT(sh_spill_bytes(&r.d, out, &bytes) != NULL);
  sh_ref_drop(&r.driver, out); /* while it is copied */
  EXPECT_EQ(sh_spill_written(&r.d, out, 1), SH_LOST);
  disk_spill(&r, back);
  sh_restore restore, second;
  EXPECT_EQ(sh_restore_begin(&r.d, back, &restore), SH_OK);
  EXPECT_EQ(sh_restore_begin(&r.d, back, &second), SH_AGAIN); /* one at a time */
  EXPECT_EQ(sh_spill_forget(&r.d, back), 0);
  disk_read(&restore);
  sh_ref_drop(&r.driver, back);
  rig_rounds(&r, 2);
  EXPECT_EQ(sh_restore_commit(&r.d, &restore), SH_LOST);
  disk_expect_empty(&r);
  disk_close(&r);
}

static void test_restore_that_fails_can_be_tried_again(void) {
  disk_open(&r, 1, 64 * MIB);
  sh_ref ref = rig_put(&r.driver, 4, RUN_BYTES);
  disk_spill(&r, ref);
  sh_restore restore;
  EXPECT_EQ(sh_restore_begin(&r.d, ref, &restore), SH_OK);
  sh_restore_abort(&r.d, &restore);
  disk_bring_back(&r, ref);
  EXPECT_EQ(disk_look(&r.driver, ref), 4);
  EXPECT(sh_spill_forget(&r.d, ref) != 0);
  EXPECT_EQ(sh_spill_evict(&r.d, ref), SH_LOST);
  sh_ref_drop(&r.driver, ref);
  disk_expect_empty(&r);
  disk_close(&r);
}

static void test_references_in_a_spilled_value_are_kept(void) {
  enum { CHILDREN = 40 };
  disk_open(&r, 1, 64 * MIB);
  sh_ref child[CHILDREN];
  for (uint32_t i = 0; i < CHILDREN; i++)
    child[i] = rig_put(&r.driver, i, 8);
  sh_ref parent = rig_put_container(&r.driver, child, CHILDREN);
  uint64_t bytes;
  EXPECT(sh_spill_bytes(&r.d, parent, &bytes) == NULL); /* its references have not been counted yet */
  rig_rounds(&r, 2);
  for (uint32_t i = 0; i < CHILDREN; i++)
    sh_ref_drop(&r.driver, child[i]);
  rig_rounds(&r, 2);
  disk_spill(&r, parent);
  for (uint32_t i = 0; i < CHILDREN; i++)
    EXPECT(sh_entry_checked(&r.d.seg, child[i]) != NULL);
  sh_ref_drop(&r.driver, parent); /* freed while it is away: its rows are with its copy */
  disk_expect_empty(&r);
  disk_close(&r);
}

static uint32_t choose(uint64_t largest, uint64_t total, sh_victim *out, uint32_t max, bool *has_room) {
  return sh_spill_choose(&r.d, largest, total, out, max, has_room);
}

static void tick(uint32_t n) {
  for (uint32_t i = 0; i < n; i++)
    rig_tick(&r);
}

static void test_least_recently_used_goes_first(void) {
  enum { N = 8 };
  disk_open(&r, 1, N * 32 * MIB);
  sh_ref ref[N + 4];
  uint32_t n = 0;
  sh_put put;
  while (n < N + 4 && sh_put_begin(&r.driver, 31 * MIB, &put) == SH_OK) { /* an arena each */
    sh_put_commit(&r.driver, &put, 0);
    ref[n++] = put.ref;
    tick(2);
  }
  EXPECT(n >= N);
  for (uint32_t i = 0; i < 2; i++) {
    sh_pin(&r.driver, ref[i]);
    (void)sh_object_look(&r.driver, ref[i]);
    sh_unpin(&r.driver, ref[i]);
  }
  sh_victim victims[N];
  bool has_room;
  EXPECT_EQ(choose(20 * MIB, 20 * MIB, victims, N, &has_room), 1);
  EXPECT(!has_room);
  EXPECT_EQ(victims[0].ref.index, ref[2].index);
  EXPECT_EQ(victims[0].bytes, 31 * MIB);
  EXPECT_EQ(victims[0].place, 0);
  EXPECT_EQ(choose(20 * MIB, 90 * MIB, victims, N, &has_room), 3);
  /* Three in a row for one piece, with the youngest of them as old as can be. */
  EXPECT_EQ(choose(90 * MIB, 90 * MIB, victims, N, &has_room), 3);
  EXPECT(has_room);
  for (uint32_t i = 0; i < 3; i++)
    EXPECT_EQ(victims[i].ref.index, ref[2 + i].index);
  sh_pin(&r.driver, ref[3]);
  EXPECT_EQ(choose(90 * MIB, 90 * MIB, victims, N, &has_room), 3);
  for (uint32_t i = 0; i < 3; i++)
    EXPECT_EQ(victims[i].ref.index, ref[4 + i].index);
  sh_unpin(&r.driver, ref[3]);
  for (uint32_t i = 0; i < n; i++)
    sh_ref_drop(&r.driver, ref[i]);
  disk_expect_empty(&r);
  disk_close(&r);
}

static void spill_all(const sh_victim *victims, uint32_t n) {
  for (uint32_t i = 0; i < n; i++)
    disk_spill(&r, victims[i].ref);
}

/* What one client filled with large values another may fill with small ones, and the other way round. */
static void test_room_passes_between_clients_and_sizes(void) {
  enum { MAX = 4000 };
  static sh_ref small[MAX];
  static sh_victim victims[MAX];
  sh_ref large[8];
  disk_open(&r, 1, 64 * MIB);
  uint32_t n_small = 0, n_large = 0, n;
  bool has_room;
  sh_put put;
  while (n_small < MAX && sh_put_begin(&r.driver, 30000, &put) == SH_OK) {
    memset(put.data, 1, put.bytes);
    sh_put_commit(&r.driver, &put, 0);
    small[n_small++] = put.ref;
  }
  EXPECT(n_small < MAX);
  sh_self *w = &r.worker[0];
  EXPECT_EQ(sh_put_begin(w, 20 * MIB, &put), SH_FULL);
  EXPECT(w->lacks_room);
  n = choose(20 * MIB, 20 * MIB, victims, MAX, &has_room);
  EXPECT(n > 0 && n < n_small);
  spill_all(victims, n);
  EXPECT(sh_spill_trim(&r.d, 20 * MIB, 20 * MIB) > 0);
  EXPECT_EQ(sh_put_begin(w, 20 * MIB, &put), SH_OK);
  sh_put_commit(w, &put, 0);
  large[n_large++] = put.ref;
  tick(4);
  /* Now the large one is the oldest but for what is small; a block for the worker, who has no chunk of any class. */
  EXPECT_EQ(sh_put_begin(w, 3000, &put), SH_FULL);
  n = choose(3000, 3000, victims, MAX, &has_room);
  EXPECT(n > 0);
  spill_all(victims, n);
  EXPECT(sh_spill_trim(&r.d, 3000, 3000) > 0);
  EXPECT_EQ(sh_put_begin(w, 3000, &put), SH_OK);
  sh_put_commit(w, &put, 0);
  large[n_large++] = put.ref;
  /* And back, those that are away. */
  for (uint32_t i = 0; i < n_small; i++)
    sh_ref_drop(&r.driver, small[i]);
  for (uint32_t i = 0; i < n_large; i++)
    sh_ref_drop(w, large[i]);
  disk_expect_empty(&r);
  EXPECT(sh_store_claimed(&r.d.seg) <= sh_store_limit(&r.d.seg));
  disk_close(&r);
}

/* Two arenas with something in use in each, and a worker that owns neither. */
static void test_an_arena_passes_on_with_what_is_in_use(void) {
  static sh_victim victims[8];
  bool has_room;
  sh_put put;
  disk_open(&r, 2, 64 * MIB);
  sh_self *w = &r.worker[0], *other = &r.worker[1];
  sh_ref refs[] = {rig_put(&r.driver, 1, 20 * MIB), rig_put(&r.driver, 2, 20 * MIB), rig_put(&r.driver, 3, RUN_BYTES)};
  disk_spill(&r, refs[1]);
  disk_spill(&r, refs[2]);
  for (uint32_t i = 0; i < 3U; i++)
    sh_pin(&r.driver, refs[i]);
  disk_bring_back(&r, refs[1]);
  sh_restore coming;
  EXPECT_EQ(sh_restore_begin(&r.d, refs[2], &coming), SH_OK);
  disk_read(&coming);
  EXPECT_EQ(sh_put_begin(w, 10 * MIB, &put), SH_FULL);
  EXPECT_EQ(choose(10 * MIB, 10 * MIB, victims, 8, &has_room), 0);
  EXPECT(!has_room); /* what is on its way would be an orphan of another owner */
  EXPECT_EQ(sh_restore_commit(&r.d, &coming), SH_OK);
  EXPECT_EQ(choose(13 * MIB, 13 * MIB, victims, 8, &has_room), 0);
  EXPECT(!has_room); /* no gap of 13 MiB anywhere */
  EXPECT_EQ(choose(10 * MIB, 10 * MIB, victims, 8, &has_room), 0);
  EXPECT(has_room);
  EXPECT_EQ(sh_put_begin(w, 10 * MIB, &put), SH_OK);
  EXPECT_EQ(sh_put_begin(other, 1 * MIB, &put), SH_FULL);
  /* The new owner dies with a value half made: that goes, what it adopted stays, and another may have the arena. */
  sh_repair_round(&r.d, (int32_t)w->index);
  EXPECT_EQ(sh_put_begin(other, 10 * MIB, &put), SH_OK);
  sh_put_abort(other, &put);
  for (uint32_t i = 0; i < 3U; i++) {
    EXPECT_EQ(rig_value(&r.driver, refs[i]), i + 1U);
    sh_unpin(&r.driver, refs[i]);
    sh_ref_drop(&r.driver, refs[i]);
  }
  disk_expect_empty(&r);
  disk_close(&r);
}

static void test_nothing_is_spilled_while_there_is_room(void) {
  disk_open(&r, 1, 256 * MIB);
  sh_victim victims[16];
  bool has_room;
  sh_ref ref = rig_put(&r.driver, 1, 31 * MIB), tiny = rig_put(&r.driver, 2, 1000);
  tick(3);
  static const uint64_t sizes[] = {1000, 1 * MIB, 31 * MIB, 100 * MIB};
  for (uint32_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    EXPECT_EQ(choose(sizes[i], sizes[i], victims, 16, &has_room), 0);
    EXPECT(has_room);
  }
  sh_ref_drop(&r.driver, ref);
  sh_ref_drop(&r.driver, tiny);
  disk_expect_empty(&r);
  disk_close(&r);
}

static void test_wish_ends_with_its_client(void) {
  disk_open(&r, 1, 64 * MIB);
  sh_shortage shortage;
  sh_store_release(&r.worker[0].me->x_room_wanted, 5000);
  sh_store_release(&r.driver.me->x_room_wanted, 300);
  sh_spill_shortage(&r.d, &shortage);
  EXPECT_EQ(shortage.n_waiting, 2);
  EXPECT_EQ(shortage.largest, 5000);
  EXPECT_EQ(shortage.total, 5300);
  rig_detach(&r, &r.worker[0]);
  rig_attach(&r, &r.worker[0], SH_ROLE_WORKER, -1, RIG_ROOT);
  sh_store_release(&r.driver.me->x_room_wanted, 0);
  sh_spill_shortage(&r.d, &shortage);
  EXPECT_EQ(shortage.n_waiting, 0);
  disk_close(&r);
}

static void test_arguments_of_the_next_tasks_are_read_ahead(void) {
  disk_open(&r, 1, 64 * MIB);
  sh_ref dep[3], out[3], found[8];
  for (uint32_t i = 0; i < 3; i++) {
    dep[i] = rig_put(&r.driver, i, RUN_BYTES);
    out[i] = rig_submit_one(&r, 10, &dep[i], 1);
  }
  rig_rounds(&r, 1);
  disk_spill(&r, dep[0]);
  disk_spill(&r, dep[2]);
  EXPECT_EQ(sh_spill_next(&r.d, found, 8), 2);
  EXPECT_EQ(found[0].index, dep[0].index);
  EXPECT_EQ(found[1].index, dep[2].index);
  disk_bring_back(&r, dep[0]);
  disk_bring_back(&r, dep[2]);
  rig_work_all(&r);
  for (uint32_t i = 0; i < 3; i++) {
    EXPECT_EQ(rig_value(&r.driver, out[i]), 10 + i);
    sh_ref_drop(&r.driver, out[i]);
    sh_ref_drop(&r.driver, dep[i]);
  }
  disk_expect_empty(&r);
  disk_close(&r);
}

/* A client dies with a pin, with a reference, and as the owner of what is away. */
static void test_dead_clients_let_go(void) {
  disk_open(&r, 2, 64 * MIB);
  sh_ref a = rig_put(&r.worker[0], 1, RUN_BYTES), b = rig_put(&r.driver, 2, RUN_BYTES);
  disk_spill(&r, a);
  sh_ref_share(&r.driver, b);
  rig_rounds(&r, 1);
  EXPECT_EQ(sh_ref_take(&r.worker[0], b), SH_OK);
  sh_pin(&r.worker[0], b);
  EXPECT(disk_write(&r, b));
  EXPECT_EQ(sh_spill_evict(&r.d, b), SH_AGAIN);
  rig_detach(&r, &r.worker[0]);
  EXPECT_EQ(sh_spill_evict(&r.d, b), SH_OK);
  disk_bring_back(&r, b);
  EXPECT_EQ(disk_look(&r.driver, b), 2);
  sh_ref_drop(&r.driver, b);
  disk_expect_empty(&r);
  disk_close(&r);
}

/* -- all at once -- */

enum { READERS = 3, OBJECTS = 12 };
static sh_ref shared[OBJECTS];
static atomic_bool over;
static atomic_uint looks;

static void *reader(void *context) {
  sh_self *self = context;
  uint32_t i = self->index;
  while (!atomic_load(&over)) {
    sh_ref ref = shared[i++ % OBJECTS];
    sh_pin(self, ref);
    const uint8_t *data = sh_object_look(self, ref);
    if (data) {
      uint64_t value;
      memcpy(&value, data, sizeof value);
      EXPECT_EQ(value, 1000U + ref.index);
      EXPECT_EQ(data[RUN_BYTES - 1U], (uint8_t)value);
      atomic_fetch_add(&looks, 1U);
    }
    sh_unpin(self, ref);
  }
  return NULL;
}

static void test_readers_beside_the_daemon(void) {
  pthread_t threads[READERS];
  const uint32_t rounds = getenv("SHOAL_LONG") ? 200000 : 2000;
  disk_open(&r, READERS, 64 * MIB);
  for (uint32_t i = 0; i < OBJECTS; i++) {
    sh_put put;
    EXPECT_EQ(sh_put_begin(&r.driver, RUN_BYTES, &put), SH_OK);
    uint64_t value = 1000U + put.ref.index;
    memset(put.data, (int)(value & 255U), RUN_BYTES);
    memcpy(put.data, &value, sizeof value);
    sh_put_commit(&r.driver, &put, 0);
    shared[i] = put.ref;
    sh_ref_share(&r.driver, shared[i]);
    for (uint32_t w = 0; w < READERS; w++)
      EXPECT_EQ(sh_ref_take(&r.worker[w], shared[i]), SH_OK);
    EXPECT(disk_write(&r, shared[i]));
  }
  atomic_store(&over, false);
  for (uint32_t i = 0; i < READERS; i++)
    EXPECT(pthread_create(&threads[i], NULL, reader, &r.worker[i]) == 0);
  uint32_t out = 0, back = 0;
  sh_ref stranger = {0};
  for (uint32_t n = 0; n < rounds || back == 0 || atomic_load(&looks) < 100U; n++) {
    sh_ref ref = shared[n % OBJECTS];
    if (sh_spill_evict(&r.d, ref) == SH_OK)
      out++;
    stranger = rig_put(&r.driver, 3, RUN_BYTES); /* takes what came free, and overwrites it */
    sh_restore restore;
    if (sh_restore_begin(&r.d, shared[(n * 7U) % OBJECTS], &restore) == SH_OK) {
      disk_read(&restore);
      EXPECT_EQ(sh_restore_commit(&r.d, &restore), SH_OK);
      back++;
    }
    sh_ref_drop(&r.driver, stranger);
  }
  atomic_store(&over, true);
  for (uint32_t i = 0; i < READERS; i++)
    pthread_join(threads[i], NULL);
  EXPECT(out > 0);
  for (uint32_t i = 0; i < OBJECTS; i++) {
    for (uint32_t w = 0; w < READERS; w++)
      sh_ref_drop(&r.worker[w], shared[i]);
    sh_ref_drop(&r.driver, shared[i]);
  }
  disk_expect_empty(&r);
  disk_close(&r);
}

int main(void) {
  RUN(test_bytes_go_and_come_back);
  RUN(test_inline_values_and_promises_stay);
  RUN(test_what_is_pinned_stays);
  RUN(test_pins_survive_taking_and_dropping_the_reference);
  RUN(test_object_that_is_dropped_while_away);
  RUN(test_object_that_is_dropped_on_its_way);
  RUN(test_restore_that_fails_can_be_tried_again);
  RUN(test_references_in_a_spilled_value_are_kept);
  RUN(test_least_recently_used_goes_first);
  RUN(test_room_passes_between_clients_and_sizes);
  RUN(test_an_arena_passes_on_with_what_is_in_use);
  RUN(test_nothing_is_spilled_while_there_is_room);
  RUN(test_wish_ends_with_its_client);
  RUN(test_arguments_of_the_next_tasks_are_read_ahead);
  RUN(test_dead_clients_let_go);
  RUN(test_readers_beside_the_daemon);
  return 0;
}

/* SPDX-License-Identifier: Apache-2.0
 * The line of those who wait for resources: who is served before whom. */
#include "rig.h"

#include "node/lineup.h"

static sh_lineup l;
static sh_class classes[SH_MAX_CLASSES];
static bool waits[SH_MAX_CLASSES];

static void open(void) {
  memset(&l, 0, sizeof l);
  memset(classes, 0, sizeof classes);
  memset(waits, 0, sizeof waits);
}

static void is_of(uint32_t class_id, uint32_t root, uint32_t priority) {
  classes[class_id].root = root;
  classes[class_id].priority = priority;
}

static void line_up(void) {
  sh_lineup_begin(&l);
  for (uint32_t i = 0; i < SH_MAX_CLASSES; i++)
    if (waits[i])
      sh_lineup_join(&l, i, &classes[i]);
  sh_lineup_order(&l);
}

/* From one round on these wait, too, in the order of their numbers. */
static void come(const uint32_t *who, uint32_t n) {
  for (uint32_t i = 0; i < n; i++)
    waits[who[i]] = true;
  line_up();
}

static void expect(const uint32_t *order, uint32_t n) {
  EXPECT_EQ(l.n, n);
  for (uint32_t i = 0; i < n; i++)
    EXPECT_EQ(l.waiting[i].class_id, order[i]);
}

static void test_nobody_waits(void) {
  open();
  line_up();
  EXPECT_EQ(l.n, 0);
}

static void test_who_came_first_is_first_whatever_its_number(void) {
  open();
  come((uint32_t[]){40}, 1);
  come((uint32_t[]){30, 50}, 2);
  come((uint32_t[]){20}, 1);
  expect((uint32_t[]){40, 30, 50, 20}, 4);
  line_up();
  expect((uint32_t[]){40, 30, 50, 20}, 4);
}

static void test_who_leaves_and_comes_back_is_last(void) {
  open();
  come((uint32_t[]){1, 2, 3}, 3);
  waits[1] = false;
  line_up();
  expect((uint32_t[]){2, 3}, 2);
  come((uint32_t[]){1}, 1);
  expect((uint32_t[]){2, 3, 1}, 3);
  sh_lineup_leave(&l, 2); /* served, and still waits for more */
  expect((uint32_t[]){2, 3, 1}, 3);
  line_up();
  expect((uint32_t[]){3, 1, 2}, 3);
}

static void test_nobody_stands_there_twice(void) {
  open();
  come((uint32_t[]){1, 2}, 2);
  sh_lineup_begin(&l);
  sh_lineup_join(&l, 2, &classes[2]);
  sh_lineup_join(&l, 1, &classes[1]);
  sh_lineup_join(&l, 2, &classes[2]);
  sh_lineup_order(&l);
  expect((uint32_t[]){1, 2}, 2);
}

static void test_in_a_job_the_more_urgent_goes_first(void) {
  open();
  for (uint32_t i = 1; i <= 4; i++)
    is_of(i, 7, 128);
  is_of(3, 7, 130);
  is_of(2, 7, 129);
  for (uint32_t i = 1; i <= 4; i++)
    come(&i, 1);
  expect((uint32_t[]){3, 2, 1, 4}, 4);
  waits[3] = false;
  line_up();
  expect((uint32_t[]){2, 1, 4}, 3);
}

static void test_jobs_come_in_the_order_of_their_oldest_class(void) {
  open();
  is_of(1, 7, 128);
  is_of(2, 8, 200);
  is_of(3, 7, 130);
  is_of(4, 8, 255);
  for (uint32_t i = 1; i <= 4; i++)
    come(&i, 1);
  expect((uint32_t[]){3, 1, 4, 2}, 4);
  sh_lineup_leave(&l, 3);
  line_up(); /* it has a new number, and outranks the oldest still */
  expect((uint32_t[]){3, 1, 4, 2}, 4);
  waits[1] = false;
  line_up();
  expect((uint32_t[]){4, 2, 3}, 3);
}

static void test_all_classes_may_wait(void) {
  open();
  for (uint32_t i = 0; i < SH_MAX_CLASSES; i += 2)
    waits[i] = true;
  line_up();
  memset(waits, 1, sizeof waits);
  line_up();
  EXPECT_EQ(l.n, SH_MAX_CLASSES);
  for (uint32_t i = 0; i < SH_MAX_CLASSES; i++) {
    uint32_t half = SH_MAX_CLASSES / 2U;
    EXPECT_EQ(l.waiting[i].class_id, i < half ? 2U * i : 2U * (i - half) + 1U);
  }
}

/* As the header says it: the oldest of those that it outranks lends it its age. */
static uint64_t turn_of(uint32_t class_id) {
  uint64_t turn = l.numbers[class_id];
  for (uint32_t i = 0; i < SH_MAX_CLASSES; i++)
    if (waits[i] && classes[i].root == classes[class_id].root && classes[i].priority < classes[class_id].priority &&
        l.numbers[i] < turn)
      turn = l.numbers[i];
  return turn;
}

static uint32_t chance(uint32_t n) {
  static uint64_t state = 88172645463325252ULL;
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return (uint32_t)(state % n);
}

static void test_any_jobs_and_priorities(void) {
  open();
  for (uint32_t i = 0; i < SH_MAX_CLASSES; i++)
    is_of(i, chance(5), 126U + chance(4));
  for (uint32_t rounds = 0; rounds < 40; rounds++) {
    for (uint32_t i = 0; i < 60; i++)
      waits[chance(200)] ^= true;
    if (l.n)
      sh_lineup_leave(&l, l.waiting[0].class_id);
    line_up();
    uint32_t n = 0;
    for (uint32_t i = 0; i < SH_MAX_CLASSES; i++)
      n += waits[i];
    EXPECT_EQ(l.n, n);
    for (uint32_t i = 0; i < n; i++) {
      uint32_t b = l.waiting[i].class_id, a = i ? l.waiting[i - 1U].class_id : b;
      EXPECT_EQ(l.waiting[i].turn, turn_of(b));
      EXPECT(turn_of(a) <= turn_of(b));
      if (i == 0 || turn_of(a) != turn_of(b))
        continue;
      EXPECT_EQ(classes[a].root, classes[b].root);
      EXPECT(classes[a].priority > classes[b].priority ||
             (classes[a].priority == classes[b].priority && l.numbers[a] < l.numbers[b]));
    }
  }
}

int main(void) {
  RUN(test_nobody_waits);
  RUN(test_who_came_first_is_first_whatever_its_number);
  RUN(test_who_leaves_and_comes_back_is_last);
  RUN(test_nobody_stands_there_twice);
  RUN(test_in_a_job_the_more_urgent_goes_first);
  RUN(test_jobs_come_in_the_order_of_their_oldest_class);
  RUN(test_all_classes_may_wait);
  RUN(test_any_jobs_and_priorities);
  return 0;
}

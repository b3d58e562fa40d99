/* SPDX-License-Identifier: Apache-2.0
 * Ledgers: what fits, what is booked, which GPUs, and demands that nobody can mean. */
#include "rig.h"

#include "node/ledger.h"

#define DISK 3U
#define NET 4U

static sh_ledger l;

static void open(uint32_t disk, uint32_t n_gpus) {
  l = (sh_ledger){.capacity = {[DISK] = disk, [NET] = 1000}};
  sh_ledger_set_gpus(&l, n_gpus);
}

static sh_demand disk_of(uint32_t milli) {
  return (sh_demand){.n = 1, .kinds = {DISK}, .milli = {milli}};
}
static sh_demand gpus_of(uint32_t milli) {
  return (sh_demand){.gpu_milli = milli};
}

static void test_what_is_booked_is_not_there_for_others(void) {
  open(3000, 0);
  sh_demand two = disk_of(2000), one = disk_of(1000), both = {.n = 2, .kinds = {NET, DISK}, .milli = {1000, 1000}};
  EXPECT(sh_ledger_fits(&l, &two) && sh_ledger_fits(&l, &both));
  EXPECT_EQ(sh_ledger_book(&l, &two), 0);
  EXPECT_EQ(l.used[DISK], 2000);
  EXPECT(!sh_ledger_fits(&l, &two));
  EXPECT(sh_ledger_fits(&l, &one));
  EXPECT_EQ(sh_ledger_book(&l, &both), 0);
  EXPECT(!sh_ledger_fits(&l, &one));
  EXPECT_EQ(l.used[NET], 1000);
  sh_ledger_unbook(&l, &two, 0);
  EXPECT_EQ(l.used[DISK], 1000);
  EXPECT(sh_ledger_fits(&l, &two));
  EXPECT(!sh_ledger_fits(&l, &both)); /* its first kind is booked */
  sh_ledger_unbook(&l, &both, 0);
  EXPECT_EQ(l.used[DISK] + l.used[NET], 0);
}

static void test_what_nobody_has_does_not_fit(void) {
  open(3000, 0);
  sh_demand much = disk_of(UINT32_MAX), unknown = {.n = 1, .kinds = {SH_MAX_KINDS}, .milli = {0}}, gpu = gpus_of(1);
  sh_demand one = disk_of(1000);
  EXPECT(!sh_ledger_fits(&l, &much) && !sh_ledger_fits(&l, &unknown) && !sh_ledger_fits(&l, &gpu));
  (void)sh_ledger_book(&l, &one);
  EXPECT(!sh_ledger_fits(&l, &much)); /* the sum is more than 32 bits */
  l.capacity[DISK] = 500;
  EXPECT(!sh_ledger_fits(&l, &one)); /* less than what is booked */
}

static void test_parts_of_a_gpu_are_of_one_device(void) {
  open(0, 2);
  EXPECT_EQ(sh_ledger_gpu_milli(&l), 2000);
  sh_demand most = gpus_of(700), half = gpus_of(500), rest = gpus_of(300);
  EXPECT_EQ(sh_ledger_book(&l, &most), 1U << 0);
  EXPECT(sh_ledger_fits(&l, &half));
  EXPECT_EQ(sh_ledger_book(&l, &half), 1U << 1); /* 300 are left of the first */
  EXPECT_EQ(sh_ledger_book(&l, &rest), 1U << 0);
  EXPECT_EQ(sh_ledger_gpu_used(&l), 1500);
  EXPECT(!sh_ledger_fits(&l, &most));
  sh_ledger_unbook(&l, &half, 1U << 1);
  EXPECT_EQ(sh_ledger_gpu_used(&l), 1000);
  EXPECT_EQ(l.gpu_used[1], 0);
  EXPECT_EQ(sh_ledger_book(&l, &most), 1U << 1);
}

static void test_whole_gpus_are_whole(void) {
  open(0, 3);
  sh_demand part = gpus_of(1), one = gpus_of(1000), two = gpus_of(2000), three = gpus_of(3000);
  EXPECT(sh_ledger_fits(&l, &three));
  EXPECT_EQ(sh_ledger_book(&l, &part), 1U << 0);
  EXPECT(!sh_ledger_fits(&l, &three));
  EXPECT_EQ(sh_ledger_book(&l, &two), (1U << 1) | (1U << 2));
  EXPECT_EQ(sh_ledger_gpu_used(&l), 2001);
  EXPECT(!sh_ledger_fits(&l, &one));
  sh_ledger_unbook(&l, &two, (1U << 1) | (1U << 2));
  EXPECT_EQ(sh_ledger_gpu_used(&l), 1);
  l.gpu[1] = 500; /* a bundle's share of a device is no whole one */
  EXPECT_EQ(sh_ledger_book(&l, &one), 1U << 2);
  sh_ledger_set_gpus(&l, 1);
  EXPECT_EQ(sh_ledger_gpu_milli(&l), 1000);
}

static void test_a_demand_names_each_kind_once(void) {
  sh_demand good = {.n = 2, .kinds = {DISK, NET}}, twice = {.n = 2, .kinds = {DISK, DISK}};
  sh_demand gpu = {.n = 1, .kinds = {0}}, unknown = {.n = 2, .kinds = {DISK, SH_MAX_KINDS}}, none = {.n = 0};
  sh_demand last = {.n = 1, .kinds = {SH_MAX_KINDS - 1U}}, full = {.n = SH_MAX_DEMANDS}, many;
  EXPECT(sh_demand_is_sound(&good) && sh_demand_is_sound(&none) && sh_demand_is_sound(&last));
  EXPECT(!sh_demand_is_sound(&twice) && !sh_demand_is_sound(&gpu) && !sh_demand_is_sound(&unknown));
  for (uint32_t i = 0; i < SH_MAX_DEMANDS; i++)
    full.kinds[i] = i + 1U;
  EXPECT(sh_demand_is_sound(&full));
  full.milli[0] = SH_MAX_KINDS - 1U;
  many = full;
  many.n = SH_MAX_DEMANDS + 1U; /* the one behind the end is not looked at */
  EXPECT(!sh_demand_is_sound(&many));
}

static void test_what_a_class_demands_is_bounded(void) {
  static sh_class c = {.cpu_milli = 500, .gpu_milli = 250, .n_demands = 1};
  c.demands[0].kind = DISK;
  c.demands[0].milli = 7;
  sh_demand demand = sh_demand_of(&c);
  EXPECT_EQ(demand.cpu_milli, 500);
  EXPECT_EQ(demand.gpu_milli, 250);
  EXPECT_EQ(demand.n, 1);
  EXPECT_EQ(demand.kinds[0], DISK);
  EXPECT_EQ(demand.milli[0], 7);
  c.n_demands = SH_MAX_DEMANDS + 1U; /* a peer wrote over it */
  EXPECT_EQ(sh_demand_of(&c).n, SH_MAX_DEMANDS);
}

static void test_kinds_of_a_demand(void) {
  sh_demand none = {.cpu_milli = 1000}, both = {.n = 2, .kinds = {NET, DISK}, .milli = {1000, 1}}, gpu = gpus_of(500);
  EXPECT_EQ(sh_demand_kinds(&none), 0);
  EXPECT_EQ(sh_demand_kinds(&both), 1U << NET | 1U << DISK);
  EXPECT_EQ(sh_demand_kinds(&gpu), 1);
}

int main(void) {
  RUN(test_what_is_booked_is_not_there_for_others);
  RUN(test_what_nobody_has_does_not_fit);
  RUN(test_parts_of_a_gpu_are_of_one_device);
  RUN(test_whole_gpus_are_whole);
  RUN(test_a_demand_names_each_kind_once);
  RUN(test_what_a_class_demands_is_bounded);
  RUN(test_kinds_of_a_demand);
  return 0;
}

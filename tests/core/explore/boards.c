/* SPDX-License-Identifier: Apache-2.0
 * Boards (node/board.h): what a party wrote is read by who sees its word, nobody sleeps through a word, and of who died every
 * word counts that it told. */
#include "scenarios.h"

#include "node.h"
#include "node/board.h"

#define WORDS 2U
#define WRITTEN 0U /* word: so many blocks are there to be read */
#define READ 1U    /* word: so many blocks were read */
#define PARTIES 2U

static struct {
  uint8_t *lines;
  uint64_t block[PARTIES]; /* beside the board: what the words are about */
  bool gave_up;
  sh_self next; /* of a process that is registered in the scenario */
} *stage;

/* Who is a party: the driver and a worker. */
static sh_self *self_of(uint32_t party) {
  return party ? &node->worker[0] : &node->driver;
}

static sh_board board_of(uint32_t party) {
  return (sh_board){.lines = stage->lines, .n_parties = PARTIES, .n_words = WORDS, .me = party};
}

static void join(uint32_t party) {
  sh_board b = board_of(party);
  sh_board_join(self_of(party), &b);
}

static void setup_empty(void) {
  node_open(1, 1);
  stage = xp_room(sizeof *stage);
  uint8_t *lines = xp_room(PARTIES * sh_board_line_bytes(WORDS));
  stage->lines = lines;
}
static void setup(void) {
  setup_empty();
  join(0);
  join(1);
}
static void setup_first(void) {
  setup_empty();
  join(0);
}

static void tell(uint32_t party, uint32_t word, uint64_t value) {
  sh_board b = board_of(party);
  sh_board_tell(self_of(party), &b, word, value);
}

/* Until the other party's word is so large. */
static void await(uint32_t party, uint32_t word, uint64_t least) {
  sh_board b = board_of(party);
  uint32_t other = 1U - party;
  while (sh_board_behind(&b, other, other + 1U, word, least) != other + 1U)
    (void)sh_board_park(self_of(party), &b, other, other + 1U, word, least, SH_NO_DEADLINE);
}

static uint64_t value_of(uint32_t party, uint64_t n) {
  return n * 10U + party;
}

/* ---- blocks in one place, one after the other ---- */

static void write_block(uint32_t party, uint64_t n) {
  stage->block[party] = value_of(party, n);
  tell(party, WRITTEN, n);
}
static void read_block(uint32_t party, uint64_t n) {
  await(party, WRITTEN, n);
  XP_EQUAL(stage->block[1U - party], value_of(1U - party, n));
}

static void writer(void) {
  write_block(0, 1);
  await(0, READ, 1);
  write_block(0, 2);
}
static void reader(void) {
  read_block(1, 1);
  tell(1, READ, 1);
  read_block(1, 2);
}
static void nobody_is_parked(void) {
  for (uint32_t party = 0; party < PARTIES; party++)
    XP_EQUAL(self_of(party)->me->park.x_parked, 0);
}
const xp_scenario board_blocks = {
    .name = "J D board: one writes two blocks in one place, the other reads them",
    .setup = setup,
    .run = {writer, reader},
    .check = nobody_is_parked,
};

/* Each waits for the other: as at the beginning of an operation. */
static void meet(uint32_t party) {
  write_block(party, 1);
  read_block(party, 1);
}
static void first_meets(void) {
  meet(0);
}
static void second_meets(void) {
  meet(1);
}
const xp_scenario board_meet = {
    .name = "J D board: two parties write and wait for each other",
    .setup = setup,
    .run = {first_meets, second_meets},
    .check = nobody_is_parked,
};

/* One looks by spinning, which a word ends too. */
static void spin_and_read(void) {
  sh_board b = board_of(1);
  while (sh_board_spin(self_of(1), &b, 0, 1, WRITTEN, 1, SH_SPIN_NS) != 1U)
    xp_step("goes on spinning");
  XP_EQUAL(stage->block[0], value_of(0, 1));
}
static void write_one(void) {
  write_block(0, 1);
}
const xp_scenario board_spinner = {
    .name = "J board: one writes, the other spins",
    .setup = setup,
    .run = {write_one, spin_and_read},
    .check = nobody_is_parked,
};

/* ---- one comes late: either it sees the word, or who tells it sees that somebody is there ---- */

static void come_and_read(void) {
  join(1);
  read_block(1, 1);
}
const xp_scenario board_late = {
    .name = "J D board: one comes and waits while the other tells",
    .setup = setup_first,
    .run = {write_one, come_and_read},
    .check = nobody_is_parked,
};

/* Whose record was another's before: as soon as its name is there it is known to live. */
static void setup_record(void) {
  setup_first();
  rig_detach(node, &node->worker[0]);
}
static void register_and_come(void) {
  uint32_t index, epoch;
  XP_EQUAL(sh_repair_register(&node->d, 1, -1, SH_ROLE_WORKER, -1, RIG_ROOT, 0, &index, &epoch), SH_OK);
  stage->next.me = sh_client_at(&node->d.seg, index);
  stage->next.index = index;
  stage->next.epoch = epoch;
  sh_board b = board_of(1);
  sh_board_join(&stage->next, &b);
}
static void ask_whether_it_is_gone(void) {
  sh_board b = board_of(0);
  XP_CHECK(!sh_board_is_gone(&node->d.seg, &b, 1));
}
static void it_has_come(void) {
  ask_whether_it_is_gone();
  XP_EQUAL((uint32_t)sh_load_relaxed(&sh_board_line(&(sh_board){.lines = stage->lines, .n_words = WORDS}, 1)->x_who),
           stage->next.index);
}
const xp_scenario board_newcomer = {
    .name = "J E board: one is registered and comes while it is asked whether it is gone",
    .setup = setup_record,
    .run = {register_and_come, ask_whether_it_is_gone},
    .check = it_has_come,
};

/* ---- one dies, and its record becomes another's ---- */

static void read_or_give_up(void) {
  sh_board b = board_of(0);
  for (;;) {
    bool gone = sh_board_is_gone(&node->d.seg, &b, 1); /* first its life, then its word */
    if (sh_board_behind(&b, 1, 2, WRITTEN, 1) == 2U) {
      XP_EQUAL(stage->block[1], value_of(1, 1));
      return;
    }
    if (gone) {
      stage->gave_up = true;
      return;
    }
    (void)sh_board_park(self_of(0), &b, 1, 2, WRITTEN, 1, 1000U);
  }
}
static void write_and_die(void) {
  write_block(1, 1);
}
static void sweep_and_register(void) {
  uint32_t index, epoch;
  if (xp_await_death(2U) == XP_NOBODY)
    return;
  sh_sweep_client(&node->d, node->worker[0].index);
  XP_EQUAL(sh_repair_register(&node->d, 1, -1, SH_ROLE_WORKER, -1, RIG_ROOT, 0, &index, &epoch), SH_OK);
  XP_EQUAL(index, node->worker[0].index);
}
static void no_word_was_missed(void) {
  sh_board b = board_of(0);
  XP_CHECK(!stage->gave_up || (xp_has_died(1) && sh_board_behind(&b, 1, 2, WRITTEN, 1) == 1U));
  XP_CHECK(!xp_has_died(1) || sh_board_is_gone(&node->d.seg, &b, 1));
  XP_EQUAL(node->driver.me->park.x_parked, 0);
}
const xp_scenario board_killed_party = {
    .name = "J board: a party is killed anywhere, its record becomes another's; its word or its death is seen",
    .setup = setup,
    .run = {read_or_give_up, write_and_die, sweep_and_register},
    .check = no_word_was_missed,
    .quiet = node_tick,
    .mortal = 2U,
    .crashes = 1,
};

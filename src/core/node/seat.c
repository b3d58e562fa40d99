/* SPDX-License-Identifier: Apache-2.0 */
#include "node/seat.h"

#include "node/idle.h"

static sh_seat *seat_at(const sh_segment *s, uint32_t i) {
  return &sh_seats_of(s)->seat[i];
}

static uint32_t unseated(const sh_segment *s) {
  uint32_t n = 0, words = (sh_clients_high(s) + 63U) / 64U;
  for (uint32_t w = 0; w < words; w++)
    n += (uint32_t)__builtin_popcountll(sh_load_relaxed(&s->header->x_unseated[w]));
  return n;
}

uint32_t sh_seats_free(const sh_segment *s) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < s->fixed.n_seats; i++)
    n += sh_seat_state_of(sh_load_relaxed(&seat_at(s, i)->word)) == SH_SEAT_FREE;
  return n;
}

uint32_t sh_seats_unused(const sh_segment *s) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < s->fixed.n_seats; i++)
    n += sh_seat_state_of(sh_load_relaxed(&seat_at(s, i)->word)) <= SH_SEAT_IDLE;
  return n;
}

/* Seats that the unseated and the daemon have a better claim to. Hints: off by one for a moment at worst. */
static uint32_t promised(const sh_segment *s) {
  return unseated(s) + sh_load32_relaxed(&sh_seats_of(s)->x_wanted);
}

bool sh_seats_open(const sh_segment *s) {
  return sh_seats_unused(s) > promised(s);
}

static bool owns_idle(const sh_self *self, uint64_t *word) {
  if (self->seat == 0)
    return false;
  *word = sh_load_relaxed(&seat_at(&self->seg, self->seat - 1U)->word);
  return sh_seat_client(*word) == self->index && sh_seat_state_of(*word) == SH_SEAT_IDLE;
}

/* Crews that compete for seats take turns (turns.c); outside its turn a worker takes none. */
static bool out_of_turn(const sh_self *self) {
  uint32_t turn = sh_load32_relaxed(&sh_seats_of(&self->seg)->x_turn);
  return turn != 0 && turn != self->crew;
}

bool sh_seat_possible(const sh_self *self) {
  uint64_t word;
  if (self->seated_run)
    return true;
  if (out_of_turn(self))
    return false;
  if (owns_idle(self, &word))
    return true;
  return sh_seats_open(&self->seg);
}

static bool grab(sh_self *self, uint32_t i, uint64_t seen) {
  uint64_t mine = sh_seat_word(self->index, SH_SEAT_RUN, (uint32_t)(seen >> 32) + 1U);
  if (!sh_cas(&seat_at(&self->seg, i)->word, &seen, mine))
    return false;
  self->seat = i + 1U;
  self->seat_word = mine;
  self->seated_run = true;
  return true;
}

bool sh_seat_take(sh_self *self) {
  uint64_t word;
  if (self->seated_run) {
    if (sh_load_relaxed(&seat_at(&self->seg, self->seat - 1U)->word) == self->seat_word)
      return true;
    self->seated_run = false; /* taken away while we were stopped */
  }
  if (!out_of_turn(self) && owns_idle(self, &word) && grab(self, self->seat - 1U, word))
    return true;
  self->seat = 0; /* stolen, or never had one */
  if (!sh_seat_possible(self))
    return false;
  for (uint32_t want_state = SH_SEAT_FREE; want_state <= SH_SEAT_IDLE;
       want_state++) /* free ones before others' idle ones */
    for (uint32_t i = 0; i < self->seg.fixed.n_seats; i++) {
      word = sh_load_relaxed(&seat_at(&self->seg, i)->word);
      if ((uint32_t)sh_seat_state_of(word) == want_state && grab(self, i, word))
        return true;
    }
  return false;
}

static void set_unseated(sh_self *self, bool on) {
  uint64_t bit = 1ULL << (self->index % 64U);
  sh_a64 *word = &self->seg.header->x_unseated[self->index / 64U];
  if (self->unseated == on)
    return;
  self->unseated = on;
  if (on)
    sh_fetch_or(word, bit);
  else
    sh_fetch_and(word, ~bit);
}

void sh_seat_leave(sh_self *self) {
  set_unseated(self, false);
  if (!self->seated_run) {
    uint64_t word;
    if (owns_idle(self, &word))
      (void)sh_cas(&seat_at(&self->seg, self->seat - 1U)->word, &word,
                   sh_seat_word(0, SH_SEAT_FREE, (uint32_t)(word >> 32)));
    self->seat = 0;
    return;
  }
  /* The tick takes it away from a process that is stopped: then it is somebody else's already. */
  (void)sh_cas(&seat_at(&self->seg, self->seat - 1U)->word, &self->seat_word,
               sh_seat_word(0, SH_SEAT_FREE, (uint32_t)(self->seat_word >> 32)));
  self->seated_run = false;
  self->seat = 0;
}

void sh_seat_rest(sh_self *self) {
  if (!self->seated_run) {
    set_unseated(self, false);
    return;
  }
  if (promised(&self->seg) > 0 || out_of_turn(self)) {
    bool wanted = sh_load32_relaxed(&sh_seats_of(&self->seg)->x_wanted) > 0;
    sh_seat_leave(self);
    if (wanted)
      sh_self_poke(self);
    else
      sh_wake_worker(&self->seg); /* the seat may be what somebody parked was missing */
    return;
  }
  if (!sh_cas(&seat_at(&self->seg, self->seat - 1U)->word, &self->seat_word,
              sh_seat_word(self->index, SH_SEAT_IDLE, (uint32_t)(self->seat_word >> 32))))
    self->seat = 0; /* taken away while we were stopped */
  self->seated_run = false;
}

void sh_seat_between(sh_self *self) {
  if (self->unseated)
    set_unseated(self, false);
  else if (self->seated_run && (promised(&self->seg) > 0 || out_of_turn(self)))
    sh_seat_rest(self);
}

void sh_seat_return(sh_self *self) {
  for (uint32_t i = 0; i < self->seg.fixed.n_seats; i++) {
    uint64_t word = sh_load_relaxed(&seat_at(&self->seg, i)->word);
    if (sh_seat_state_of(word) == SH_SEAT_FREE && grab(self, i, word))
      return;
  }
  set_unseated(self, true);
}

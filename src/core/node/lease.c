/* SPDX-License-Identifier: Apache-2.0
 *
 * Resources other than one CPU: leases for task classes, reservations for actors and placement groups. Sole writer: the repair
 * thread.
 *
 * CPUs of a lease are seats that client 0 holds on its behalf; fractions share a seat. The class that has waited longest is
 * served first: seats are collected for it (x_wanted) while one-CPU tasks flow, so it is not starved by them. Who may be served
 * meanwhile: docs/design/038. */
#include "base/os.h"
#include "node/group.h"
#include "node/idle.h"
#include "node/known.h"
#include "node/repair.h"
#include "node/seat.h"
#include "node/task.h"

#define LACKING_NS 5000000U
#define STARVED_AFTER_NS 5000000000U
#define STARVED_AGAIN_NS 30000000000U

static sh_seat *seat_at(sh_repair *d, uint32_t i) {
  return &sh_seats_of(&d->seg)->seat[i];
}

static uint32_t seats_held(sh_repair *d) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < d->seg.fixed.n_seats; i++)
    n += sh_seat_state_of(sh_load_relaxed(&seat_at(d, i)->word)) == SH_SEAT_LEASED;
  return n;
}

/* Of any demand: its sum with others, and what it is rounded up to, may be more than 32 bits hold. */
static uint32_t seats_for(uint64_t milli) {
  return (uint32_t)((milli + SH_CPU_MILLI - 1U) / SH_CPU_MILLI);
}

/* Make the number of seats held by the daemon `want`, as far as free and idle seats reach. -> seats held. */
static uint32_t hold_seats(sh_repair *d, uint32_t want) {
  uint32_t held = seats_held(d);
  for (uint32_t i = 0; i < d->seg.fixed.n_seats && held != want; i++) {
    uint64_t word = sh_load_acquire(&seat_at(d, i)->word);
    sh_seat_state state = sh_seat_state_of(word);
    uint32_t seq = (uint32_t)(word >> 32) + 1U;
    if (held < want && (state == SH_SEAT_FREE || state == SH_SEAT_IDLE))
      held += sh_cas(&seat_at(d, i)->word, &word, sh_seat_word(0, SH_SEAT_LEASED, seq));
    else if (held > want && state == SH_SEAT_LEASED)
      held -= sh_cas(&seat_at(d, i)->word, &word, sh_seat_word(0, SH_SEAT_FREE, seq));
  }
  return held;
}

bool sh_lease_take_cpu(sh_repair *d, uint32_t milli) {
  if (milli == 0)
    return true; /* without a touch of what is collected for others */
  uint32_t want = seats_for((uint64_t)d->seat_pool_milli + milli);
  if (want > d->seg.fixed.n_seats)
    return false; /* never, or not before others end, whose CPUs cannot be collected: nor are the rest of them */
  if (hold_seats(d, want) < want)
    return false;
  d->seat_pool_milli += milli;
  return true;
}

void sh_lease_give_cpu(sh_repair *d, uint32_t milli) {
  if (milli == 0)
    return;
  d->seat_pool_milli -= milli;
  (void)hold_seats(d, seats_for(d->seat_pool_milli));
  sh_wake_worker(&d->seg);
}

/* Are the resources of the node there that a class waits for, but for CPUs? */
static bool others_fit(sh_repair *d, uint32_t class_id) {
  const sh_class *c = sh_known_class(d, class_id);
  if (c->kind == SH_CLASS_GROUP)
    return sh_group_others_fit(d, class_id);
  sh_demand demand = sh_demand_of(c);
  return c->room == 0 && sh_ledger_fits(&d->ledger, &demand);
}

/* Book everything of a class, or nothing. Seats may be collected towards it although the answer is no. */
static bool book(sh_repair *d, uint32_t class_id, sh_claims *claims) {
  const sh_class *c = sh_known_class(d, class_id);
  sh_claims booked = {.class_id = class_id + 1U, .cpu_milli = c->cpu_milli, .demand = sh_demand_of(c)};
  if (c->room) {
    if (!sh_group_book(d, c, &booked))
      return false;
  } else {
    if (!sh_ledger_fits(&d->ledger, &booked.demand) || !sh_lease_take_cpu(d, c->cpu_milli))
      return false;
    booked.gpu_mask = sh_ledger_book(&d->ledger, &booked.demand);
  }
  *claims = booked;
  return true;
}

static void give_cpu_back(sh_repair *d, sh_claims *claims) {
  if (claims->group) {
    sh_group_give_cpu_back(d, claims);
    return;
  }
  sh_lease_give_cpu(d, claims->cpu_milli);
  claims->cpu_milli = 0;
}

/* The claims are gone first: a sweep that is left in the middle and begun again gives nothing back twice. */
static void unbook(sh_repair *d, sh_claims *claims) {
  sh_claims booked = *claims;
  *claims = (sh_claims){0};
  if (booked.group) {
    sh_group_unbook(d, &booked);
  } else if (booked.class_id) {
    sh_ledger_unbook(&d->ledger, &booked.demand, booked.gpu_mask);
    give_cpu_back(d, &booked);
  }
}

void sh_lease_end(sh_repair *d, uint32_t client) {
  unbook(d, &d->leases[client]);
}

void sh_lease_end_actor(sh_repair *d, uint32_t class_id) {
  d->actor_waits[class_id] = 0;
  unbook(d, &d->actors[class_id]);
}

bool sh_lease_actor(sh_repair *d, uint32_t class_id, uint32_t *gpu_mask) {
  sh_claims *claims = &d->actors[class_id];
  if (claims->class_id == 0 && !book(d, class_id, claims)) {
    d->actor_waits[class_id] = 1;
    return false;
  }
  d->actor_waits[class_id] = 0;
  *gpu_mask = claims->gpu_mask;
  return true;
}

uint64_t sh_work_of(sh_repair *d, uint32_t class_id) {
  const sh_class *c = sh_class_at(&d->seg, class_id);
  if (sh_word_state(sh_known_class(d, class_id)->word) != SH_CLASS_LIVE)
    return 0;
  uint64_t n = 0;
  uint32_t high = d->clients_high;
  for (uint32_t w = 0; w < (high + 63U) / 64U; w++)
    for (uint64_t bits = sh_load_relaxed(&c->x_bits[w]); bits; bits &= bits - 1U) {
      const sh_ring *ring = sh_ring_named(&d->seg, w * 64U + (uint32_t)__builtin_ctzll(bits), class_id);
      n += ring ? sh_ring_length(ring) : 0U;
    }
  return n;
}

/* An idle worker of the crew, taken off the idle bits; 0 = none. */
static uint32_t idle_worker(sh_repair *d, uint32_t crew, bool take) {
  uint32_t high = d->clients_high;
  for (uint32_t c = 1; c < high; c++) {
    const sh_client *client = sh_known_client(d, c);
    uint64_t bit = 1ULL << (c % 64U);
    uint64_t seen =
        sh_load_relaxed(&d->seg.header->x_idle[c / 64U]) | sh_load_relaxed(&d->seg.header->x_spinning[c / 64U]);
    if (!(seen & bit) || sh_load32_relaxed(&client->x_role) != SH_ROLE_WORKER ||
        sh_load32_relaxed(&client->x_crew) != crew || d->leases[c].class_id)
      continue;
    if (take)
      sh_fetch_and(&d->seg.header->x_idle[c / 64U], ~bit);
    return c;
  }
  return 0;
}

static void collect_returned(sh_repair *d) {
  uint32_t high = d->clients_high;
  for (uint32_t c = 1; c < high; c++) {
    if (d->leases[c].class_id == 0)
      continue;
    sh_client *client = sh_client_at(&d->seg, c);
    uint64_t lease = sh_load_acquire(&client->x_lease);
    if (sh_lease_state(lease) == SH_LEASE_RETURNED) {
      sh_store_release(&client->x_lease, 0);
      unbook(d, &d->leases[c]);
    } else if (d->leases[c].cpu_milli && (sh_load_relaxed(&d->seg.header->x_blocked[c / 64U]) & (1ULL << (c % 64U)))) {
      give_cpu_back(d, &d->leases[c]); /* parked in get: its CPUs go on without it */
    }
  }
}

static bool has_task(sh_repair *d, uint32_t client) {
  uint32_t end = sh_pool_used_chunks(&d->seg, SH_POOL_SLOT) * sh_pool_of(&d->seg, SH_POOL_SLOT)->chunk_records;
  for (uint32_t i = 0; i < end; i++) {
    uint64_t word = sh_load_acquire(&sh_slot_at(&d->seg, i)->word);
    uint32_t state = sh_word_state(word);
    bool held = state == SH_TASK_CLAIMED || sh_task_has_begun(state);
    if (held && sh_word_who(word) == client)
      return true;
  }
  return false;
}

uint32_t sh_lease_revoke(sh_repair *d) {
  uint32_t n = 0, high = d->clients_high;
  for (uint32_t c = 1; c < high; c++) {
    if (d->leases[c].class_id == 0 || !sh_os_is_stopped(sh_known_client(d, c)->x_pid))
      continue;
    sh_a64 *word = &sh_client_at(&d->seg, c)->x_lease;
    uint64_t lease = sh_load_acquire(word);
    /* GRANTED: a claim that it may have made is not entered. BUSY without a task: it has ended the last one; before the next
     * it makes the lease GRANTED, by a CAS that fails then. */
    bool free =
        sh_lease_state(lease) == SH_LEASE_GRANTED || (sh_lease_state(lease) == SH_LEASE_BUSY && !has_task(d, c));
    if (free && sh_cas(word, &lease, 0)) {
      unbook(d, &d->leases[c]);
      n++;
    } else if (d->leases[c].cpu_milli) {
      give_cpu_back(d, &d->leases[c]);
      n++;
    }
  }
  return n;
}

static void starve(sh_repair *d, uint32_t class_id, uint64_t now_ns) {
  if (d->starved_since[class_id] == 0)
    d->starved_since[class_id] = now_ns;
  uint64_t since = d->starved_since[class_id], told = d->starved_told[class_id];
  if (now_ns - since < STARVED_AFTER_NS || (told && now_ns - told < STARVED_AGAIN_NS))
    return;
  d->starved_told[class_id] = now_ns;
  sh_event_add(d, SH_EVENT_STARVED, class_id, (int64_t)((now_ns - since) / 1000000U), 0);
}

/* Is this worker in a task that needs no CPU, and longer than for a moment? Such a task may take for ever, and the seat that
 * the worker does not use is free meanwhile. */
static bool runs_seatless(sh_repair *d, uint32_t c, uint64_t now_ns) {
  sh_progress *seen = &d->progress[c];
  uint64_t current = sh_load_relaxed(&sh_client_at(&d->seg, c)->x_current);
  sh_ref r = sh_ref_unpack(current);
  bool runs = false;
  if (r.index < sh_pool_capacity(sh_pool_of(&d->seg, SH_POOL_SLOT))) {
    sh_slot *t = sh_slot_at(&d->seg, r.index);
    uint64_t word = sh_load_acquire(&t->word);
    uint32_t class_id = sh_slot_class(t);
    runs = sh_word_generation(word) == r.generation && sh_word_state(word) == SH_TASK_RUNNING &&
           sh_word_who(word) == c && class_id < SH_MAX_CLASSES &&
           sh_load32_relaxed(&sh_known_class(d, class_id)->kind) == SH_CLASS_FREE_RUN;
  }
  if (!runs || seen->seatless != current) {
    seen->seatless = runs ? current : 0;
    seen->seatless_since_ns = now_ns;
  }
  return runs && now_ns - seen->seatless_since_ns >= LACKING_NS;
}

/* Workers of a crew that could take a task when their present one ends: not parked in get, not on a lease. */
static uint32_t workers_at_hand(sh_repair *d, uint32_t crew, uint64_t now_ns) {
  uint32_t n = 0, high = d->clients_high;
  for (uint32_t c = 1; c < high; c++) {
    const sh_client *client = sh_known_client(d, c);
    bool blocked = (sh_load_relaxed(&d->seg.header->x_blocked[c / 64U]) >> (c % 64U)) & 1U;
    n += sh_load32_relaxed(&client->x_state) == SH_CLIENT_LIVE &&
         sh_load32_relaxed(&client->x_role) == SH_ROLE_WORKER && sh_load32_relaxed(&client->x_crew) == crew &&
         !blocked && !d->leases[c].class_id && !runs_seatless(d, c, now_ns);
  }
  return n;
}

/* Hints ever taken from the rings of a class. */
static uint64_t taken_of(sh_repair *d, uint32_t class_id) {
  uint64_t n = 0;
  uint32_t high = d->clients_high;
  for (uint32_t c = 0; c < high; c++) {
    const sh_ring *ring = sh_ring_named(&d->seg, c, class_id);
    n += ring ? sh_load_relaxed(&ring->x_head) : 0U;
  }
  return n;
}

/* Nobody idle was seen for this class at two rounds, and nobody took of it in between; not only in the moment between a wake and its claim. */
static bool lacks_workers(sh_repair *d, uint32_t class_id, uint32_t crew, uint64_t now_ns) {
  uint64_t *since = &d->lacking_since[class_id], taken = taken_of(d, class_id);
  if (idle_worker(d, crew, false)) {
    *since = 0;
    return false;
  }
  if (*since == 0 || d->lacking_taken[class_id] != taken)
    *since = now_ns;
  d->lacking_taken[class_id] = taken;
  return now_ns - *since >= LACKING_NS || workers_at_hand(d, crew, now_ns) == 0;
}

/* Serve one class that needs resources. SH_OK: one more worker has a lease. SH_EMPTY: there is nobody to give it to, or it
 * wants no more. SH_FULL: there are no resources. `asked`: the crew that workers were last asked for in this round; its other
 * classes need not ask again. */
static sh_status serve(sh_repair *d, uint32_t class_id, uint64_t now_ns, uint32_t *asked) {
  sh_class *c = sh_known_class(d, class_id);
  uint32_t root = sh_load32_relaxed(&c->root), crew = sh_load32_relaxed(&c->crew), gpu_mask;
  if (sh_load32_relaxed(&c->kind) == SH_CLASS_GROUP) {
    if (!sh_group_grant(d, class_id)) {
      starve(d, class_id, now_ns);
      return SH_FULL;
    }
    d->actor_waits[class_id] = 0;
    sh_event_add(d, SH_EVENT_GRANTED, class_id, 0, 0);
    return SH_EMPTY;
  }
  if (sh_load32_relaxed(&c->kind) == SH_CLASS_ACTOR) {
    if (!sh_lease_actor(d, class_id, &gpu_mask)) {
      starve(d, class_id, now_ns);
      return SH_FULL;
    }
    sh_event_add(d, SH_EVENT_NEED_WORKERS, 1, class_id, root);
    return SH_EMPTY;
  }
  sh_claims claims;
  uint32_t client = idle_worker(d, crew, false);
  if (client == 0) {
    if (crew != *asked && lacks_workers(d, class_id, crew, now_ns)) {
      sh_event_add(d, SH_EVENT_NEED_WORKERS, 1, -1, crew);
      *asked = crew;
    }
    return SH_EMPTY;
  }
  if (!book(d, class_id, &claims)) {
    starve(d, class_id, now_ns);
    return SH_FULL;
  }
  client = idle_worker(d, crew, true);
  if (client == 0) {
    unbook(d, &claims);
    return SH_EMPTY;
  }
  d->starved_since[class_id] = d->starved_told[class_id] = 0;
  sh_lineup_leave(d->lineup, class_id);
  d->leases[client] = claims;
  sh_store_release(&sh_client_at(&d->seg, client)->x_lease, sh_lease(class_id, SH_LEASE_GRANTED, claims.gpu_mask));
  (void)sh_park_wake(&sh_client_at(&d->seg, client)->park);
  return SH_OK;
}

/* One worker at hand for each seat, for crews with seat work; one more whenever zero-CPU work finds nobody idle. */
static void ask_for_workers(sh_repair *d, uint64_t now_ns) {
  uint32_t asked[64], n = 0, seats = d->seg.fixed.n_seats - seats_held(d);
  for (uint32_t w = 0, words = sh_class_words(&d->seg); w < words; w++)
    for (uint64_t bits = sh_load_relaxed(&d->seg.header->x_task_classes[w]); bits; bits &= bits - 1U) {
      uint32_t class_id = w * 64U + (uint32_t)__builtin_ctzll(bits), want = 1;
      sh_class *c = sh_known_class(d, class_id);
      uint32_t kind = sh_load32_relaxed(&c->kind), crew = sh_load32_relaxed(&c->crew);
      bool skip = kind == SH_CLASS_LEASE || n == 64U;
      for (uint32_t i = 0; i < n && !skip; i++)
        skip = asked[i] == crew;
      if (skip || sh_work_of(d, class_id) == 0)
        continue;
      if (kind == SH_CLASS_SEAT) {
        uint32_t at_hand = workers_at_hand(d, crew, now_ns);
        want = at_hand < seats ? seats - at_hand : 0;
        if (want == 0 && sh_seats_unused(&d->seg) > 0 && lacks_workers(d, class_id, crew, now_ns))
          want = 1; /* those at hand do not come: stopped, perhaps */
      } else if (!lacks_workers(d, class_id, crew, now_ns)) {
        want = 0;
      }
      if (want == 0)
        continue;
      asked[n++] = crew;
      sh_event_add(d, SH_EVENT_NEED_WORKERS, want, -1, crew);
    }
}

/* The kinds of the node's resources, but for CPUs, that a class books. */
static uint64_t kinds_of(const sh_repair *d, uint32_t class_id) {
  const sh_class *c = sh_known_class(d, class_id);
  if (c->kind == SH_CLASS_GROUP)
    return sh_group_kinds(d, class_id);
  sh_demand demand = sh_demand_of(c);
  return c->room ? 0 : sh_demand_kinds(&demand);
}

/* Seats are being collected for `first`, which may take as long as tasks run. Others may be served meanwhile if they take
 * nothing that it needs in the end: no CPU of the node, nothing of `kinds`, which are its own, and no worker of its crew. */
static bool may_pass(const sh_repair *d, uint32_t class_id, uint32_t first, uint64_t kinds) {
  const sh_class *c = sh_known_class(d, class_id), *before = sh_known_class(d, first);
  if (c->kind == SH_CLASS_LEASE && before->kind == SH_CLASS_LEASE && c->crew == before->crew)
    return false;
  return (c->cpu_milli == 0 || c->room) && !(kinds_of(d, class_id) & kinds);
}

/* Classes with work for leases, actors and groups that were refused: all of them, however many. A part would be taken up by those
 * that cannot be served. */
static void line_up(sh_repair *d) {
  sh_lineup_begin(d->lineup);
  for (uint32_t w = 0; w < (d->classes_high + 63U) / 64U; w++)
    for (uint64_t bits = sh_load_relaxed(&d->seg.header->x_task_classes[w]); bits; bits &= bits - 1U) {
      uint32_t class_id = w * 64U + (uint32_t)__builtin_ctzll(bits);
      const sh_class *c = sh_known_class(d, class_id);
      if (c->kind == SH_CLASS_LEASE && sh_work_of(d, class_id) != 0)
        sh_lineup_join(d->lineup, class_id, c);
    }
  for (uint32_t class_id = 0; class_id < d->classes_high; class_id++)
    if (d->actor_waits[class_id])
      sh_lineup_join(d->lineup, class_id, sh_known_class(d, class_id));
  sh_lineup_order(d->lineup);
}

/* Nobody is collected for: what was is for tasks again. */
static void stop_collecting(sh_repair *d) {
  uint32_t handed_out = seats_for(d->seat_pool_milli), held = seats_held(d);
  d->collector = 0;
  if (held != handed_out && hold_seats(d, handed_out) < held)
    sh_wake_worker(&d->seg);
}

void sh_lease_run(sh_repair *d, uint64_t now_ns) {
  collect_returned(d);
  line_up(d);
  uint32_t n = d->lineup->n, wanted = 0, asked = 0, first = SH_MAX_CLASSES; /* first: that is collected for */
  uint64_t kinds = 0;
  bool is_collecting = false;
  sh_a32 *waits = &sh_seats_of(&d->seg)->x_lease_waits;
  if (n != 0 && !sh_load32_relaxed(waits))
    sh_store32_seqcst(waits, 1U); /* (I) */
  sh_fence();
  bool served = true;
  d->short_of_leases = false;
  /* The longest-waiting class first; one that cannot be served keeps its claim on seats, others may still use the rest. */
  for (uint32_t i = 0; i < n; i++) {
    uint32_t class_id = d->lineup->waiting[i].class_id;
    if (first != SH_MAX_CLASSES && !may_pass(d, class_id, first, kinds))
      continue;
    sh_class *c = sh_known_class(d, class_id);
    uint64_t work = sh_work_of(d, class_id);
    sh_status status = serve(d, class_id, now_ns, &asked);
    while (status == SH_OK && --work > 0)
      status = serve(d, class_id, now_ns, &asked);
    served = served && status == SH_OK;
    d->short_of_leases |= status == SH_FULL;
    uint32_t need = seats_for((uint64_t)d->seat_pool_milli + sh_load32_relaxed(&c->cpu_milli));
    if (first == SH_MAX_CLASSES && status == SH_FULL && others_fit(d, class_id) && need <= d->seg.fixed.n_seats) {
      uint32_t held = seats_held(d);
      wanted = need > held ? need - held : 0;
      first = class_id;
      kinds = kinds_of(d, class_id);
      d->collector = class_id + 1U;
      is_collecting = true;
    }
    is_collecting |= status == SH_EMPTY && d->collector == class_id + 1U; /* only its worker is away for a moment */
  }
  if (served && sh_load32_relaxed(waits))
    sh_store32_seqcst(waits, 0);
  if (sh_load32_relaxed(&sh_seats_of(&d->seg)->x_wanted) != wanted)
    sh_store32_seqcst(&sh_seats_of(&d->seg)->x_wanted, wanted);
  if (!is_collecting)
    stop_collecting(d);
  ask_for_workers(d, now_ns);
  if (now_ns - d->last_tick_ns >= SH_TICK_NS)
    sh_turns_take(d);
}

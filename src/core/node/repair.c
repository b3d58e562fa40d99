/* SPDX-License-Identifier: Apache-2.0 */
#include "node/repair.h"

#include "base/grow.h"
#include "base/os.h"
#include "node/cancel.h"
#include "node/group.h"
#include "node/known.h"
#include "node/layout.h"
#include "node/task.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define POKE_TAG UINT64_MAX
#define WORK_PAUSE_MS 1 /* between two rounds of them: others want the lock too */
#define PRESSED_MAX 15U
#define PRESSED_PAUSE_NS 1000000000U

static void lock(sh_repair *d) {
  pthread_mutex_lock(&d->lock);
}
static void unlock(sh_repair *d) {
  pthread_mutex_unlock(&d->lock);
}

void sh_event_add(sh_repair *d, sh_event_kind kind, int64_t a, int64_t b, int64_t c) {
  if (!SH_HAS_ROOM(d->events, d->n_events, d->cap_events, 256U))
    return;
  d->events[d->n_events++] = (sh_event){.kind = kind, .a = a, .b = b, .c = c};
  if (d->n_events == 1)
    sh_os_eventfd_signal(d->event_fd);
}

uint32_t sh_repair_events(sh_repair *d, sh_event *out, uint32_t max) {
  lock(d);
  uint32_t n = d->n_events < max ? d->n_events : max;
  if (n) { /* there may never have been one, nor memory for them */
    memcpy(out, d->events, n * sizeof *out);
    memmove(d->events, d->events + n, (d->n_events - n) * sizeof *out);
    d->n_events -= n;
  }
  if (d->n_events == 0)
    (void)sh_os_eventfd_drain(d->event_fd);
  unlock(d);
  return n;
}

static void unreferenced(void *context, uint32_t class_id) {
  sh_repair *d = context;
  if (class_id >= SH_MAX_CLASSES)
    return;
  sh_class *k = sh_known_class(d, class_id);
  if (k->kind != SH_CLASS_ACTOR)
    return; /* a damaged number */
  k->x_unreferenced = 1U;
  (void)sh_publish_class(d, class_id);
  uint32_t taker = k->x_taker;
  if (taker)
    (void)sh_park_wake(&sh_client_at(&d->seg, taker - 1U)->park);
  sh_event_add(d, SH_EVENT_ACTOR_UNREFERENCED, class_id, 0, 0);
}

/* Its holds and drops cannot be known any more: it may not go on. */
static void damaged_log(void *context, uint32_t client) {
  sh_repair *d = context;
  if (client == 0 || d->damaged_logs[client])
    return;
  d->damaged_logs[client] = true;
  sh_quarantine(d, SH_DAMAGED_LOG, client);
  sh_known_client(d, client)->x_fenced = 1U;
  (void)sh_publish_client(d, client);
  (void)sh_park_wake(&sh_client_at(&d->seg, client)->park);
}

static uint64_t doubt_bytes(const sh_repair *d, uint32_t pool) {
  return (uint64_t)sh_pool_capacity(sh_pool_of(&d->seg, pool)) * sizeof(uint64_t);
}

static uint32_t rows_away(void *context, sh_ref r, const sh_row **rows) {
  const sh_repair *d = context;
  return sh_spill_rows(&d->spill, r, rows);
}

static bool private_tables(sh_repair *d) {
  d->pidfds = malloc(SH_MAX_CLIENTS * sizeof *d->pidfds);
  d->known_clients = calloc(SH_MAX_CLIENTS, sizeof *d->known_clients);
  d->known_classes = calloc(SH_MAX_CLASSES, sizeof *d->known_classes);
  d->damaged_logs = calloc(SH_MAX_CLIENTS, sizeof *d->damaged_logs);
  d->leases = calloc(SH_MAX_CLIENTS, sizeof *d->leases);
  d->verdicts = calloc(SH_MAX_CLIENTS, 1);
  d->progress = calloc(SH_MAX_CLIENTS, sizeof *d->progress);
  d->actors = calloc(SH_MAX_CLASSES, sizeof *d->actors);
  d->actor_waits = calloc(SH_MAX_CLASSES, 1);
  d->groups = calloc(SH_MAX_CLASSES, sizeof *d->groups);
  d->lineup = calloc(1, sizeof *d->lineup);
  d->starved_since = calloc(SH_MAX_CLASSES, sizeof(uint64_t));
  d->starved_told = calloc(SH_MAX_CLASSES, sizeof(uint64_t));
  d->lacking_since = calloc(SH_MAX_CLASSES, sizeof(uint64_t));
  d->lacking_taken = calloc(SH_MAX_CLASSES, sizeof(uint64_t));
  d->ring_heads = calloc(SH_MAX_CLASSES, sizeof(uint64_t));
  d->backlog = calloc(SH_MAX_CLASSES, sizeof *d->backlog);
  for (uint32_t i = 0; d->pidfds && i < SH_MAX_CLIENTS; i++)
    d->pidfds[i] = -1;
  void *entries = NULL, *slots = NULL;
  (void)sh_os_reserve(doubt_bytes(d, SH_POOL_ENTRY), &entries);
  (void)sh_os_reserve(doubt_bytes(d, SH_POOL_SLOT), &slots);
  d->entry_doubts = entries;
  d->slot_doubts = slots;
  return entries && slots && d->pidfds && d->known_clients && d->known_classes && d->damaged_logs && d->leases &&
         d->verdicts && d->progress && d->actors && d->actor_waits && d->groups && d->lineup && d->starved_since &&
         d->starved_told && d->lacking_since && d->lacking_taken && d->ring_heads && d->backlog;
}

sh_status sh_repair_open(sh_repair *d, const sh_segment_config *config) {
  memset(d, 0, sizeof *d);
  d->poke_fd = d->event_fd = d->epoll_fd = -1;
  sh_status status = sh_node_create(&d->seg, config);
  if (status != SH_OK)
    return status;
  pthread_mutex_init(&d->lock, NULL);
  d->poke_fd = sh_os_eventfd();
  d->event_fd = sh_os_eventfd();
  d->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  status = d->poke_fd >= 0 && d->event_fd >= 0 && d->epoll_fd >= 0 && private_tables(d) ? SH_OK : SH_OS;
  if (status == SH_OK) {
    sh_client *me = sh_known_client(d, 0);
    *me = (sh_client){.x_state = SH_CLIENT_LIVE, .x_epoch = 1, .x_pid = sh_os_pid(), .x_role = SH_ROLE_DAEMON};
    (void)sh_publish_client(d, 0);
    d->clients_high = 1;
    (void)sh_publish_header(d);
    status = sh_self_open_over(&d->self, &d->seg, d->poke_fd, 0, 1);
  }
  if (status == SH_OK) {
    sh_store8_seqcst(sh_run_state_of(&d->seg, 0), SH_RUN_NONE);
    status = sh_counts_open(&d->counts, &d->self);
  }
  if (status == SH_OK)
    status = sh_spill_open(&d->spill, &d->seg);
  if (status != SH_OK) {
    sh_repair_close(d);
    return status;
  }
  d->counts.unreferenced = unreferenced;
  d->counts.damaged = damaged_log;
  d->counts.rows_away = rows_away;
  d->counts.context = d;
  struct epoll_event e = {.events = EPOLLIN, .data.u64 = POKE_TAG};
  (void)epoll_ctl(d->epoll_fd, EPOLL_CTL_ADD, d->poke_fd, &e);
  d->pressed_max = PRESSED_MAX;
  d->pressed_pause_ns = PRESSED_PAUSE_NS;
  return SH_OK;
}

static void forget_pidfd(sh_repair *d, uint32_t client) {
  if (d->pidfds[client] < 0)
    return;
  (void)epoll_ctl(d->epoll_fd, EPOLL_CTL_DEL, d->pidfds[client], NULL);
  close(d->pidfds[client]);
  d->pidfds[client] = -1;
}

/* True if releases are left, for the next round. */
static bool round_once(sh_repair *d) {
  (void)sh_counts_read(&d->counts);
  if (d->counts.n_kept)
    sh_counts_settle(&d->counts);
  bool more = sh_counts_work(&d->counts, SH_WORK_NS);
  uint32_t orphans = sh_load32_acquire(&d->seg.header->x_orphans);
  if (orphans != d->seen_orphans) {
    d->seen_orphans = orphans;
    sh_sweep_orphans(d);
  }
  uint64_t now = sh_os_now_ns();
  bool ticks = now - d->last_tick_ns >= SH_TICK_NS;
  uint32_t rescan = sh_load32_acquire(&d->seg.header->x_rescan);
  if (rescan != d->seen_rescan && (ticks || !d->rescan_failed)) {
    d->seen_rescan = rescan;
    sh_sweep_rescan(d);
    d->rescan_failed = sh_load32_acquire(&d->seg.header->x_rescan) != rescan;
  }
  uint32_t pressure = sh_load32_acquire(&d->seg.header->x_pressure);
  if (pressure != d->seen_pressure) {
    d->seen_pressure = pressure;
    sh_event_add(d, SH_EVENT_FLUSH, 0, 0, 0);
  }
  if (d->n_put_off)
    sh_sweep_put_back(d, now);
  if (d->n_endings)
    sh_cancel_run(d, ticks, now);
  sh_lease_run(d, now);
  if (ticks) {
    d->last_tick_ns = now;
    sh_tick(d);
    sh_warm_look(&d->warm);
  }
  return more;
}

/* Pokes must not put off the tick. */
static int ms_to_tick(const sh_repair *d) {
  uint64_t due = d->last_tick_ns + SH_TICK_NS, now = sh_os_now_ns();
  return due > now ? (int)((due - now + 999999U) / 1000000U) : 0;
}

static void *repair_thread(void *context) {
  sh_repair *d = context;
  struct epoll_event ready[64];
  bool more = false;
  while (!sh_load32_acquire(&d->stop)) {
    int n = epoll_wait(d->epoll_fd, ready, 64, more ? WORK_PAUSE_MS : ms_to_tick(d));
    lock(d);
    for (int i = 0; i < n; i++) {
      if (ready[i].data.u64 == POKE_TAG) {
        (void)sh_os_eventfd_drain(d->poke_fd);
        continue;
      }
      uint32_t client = (uint32_t)ready[i].data.u64;
      forget_pidfd(d, client);
      sh_sweep_client(d, client);
    }
    more = round_once(d);
    unlock(d);
  }
  return NULL;
}

void sh_repair_round(sh_repair *d, int32_t dead_client) {
  lock(d);
  if (dead_client > 0) {
    forget_pidfd(d, (uint32_t)dead_client);
    sh_sweep_client(d, (uint32_t)dead_client);
  }
  (void)round_once(d);
  unlock(d);
}

sh_status sh_repair_start(sh_repair *d) {
  sh_store32_release(&d->stop, 0);
  (void)sh_warm_start(&d->warm, &d->seg); /* before the rounds, which look at it; without it memory is mapped late */
  if (pthread_create(&d->thread, NULL, repair_thread, d) != 0) {
    sh_warm_stop(&d->warm);
    return SH_OS;
  }
  d->running = true;
  return SH_OK;
}

void sh_repair_stop(sh_repair *d) {
  if (!d->seg.base)
    return;
  lock(d);
  d->stopped = true;
  sh_store32_seqcst(&d->seg.header->x_mode, SH_MODE_STOPPED);
  unlock(d);
  if (d->running) {
    sh_store32_release(&d->stop, 1U);
    sh_os_eventfd_signal(d->poke_fd);
    pthread_join(d->thread, NULL);
    sh_warm_stop(&d->warm);
    d->running = false;
  }
  for (uint32_t c = 1; c < d->clients_high; c++)
    (void)sh_park_wake(&sh_client_at(&d->seg, c)->park);
}

void sh_repair_close(sh_repair *d) {
  if (!d->seg.base)
    return;
  sh_repair_stop(d);
  int fd = d->seg.fd;
  for (uint32_t c = 0; d->pidfds && c < SH_MAX_CLIENTS; c++)
    forget_pidfd(d, c);
  sh_counts_close(&d->counts);
  sh_os_unmap(d->entry_doubts, doubt_bytes(d, SH_POOL_ENTRY));
  sh_os_unmap(d->slot_doubts, doubt_bytes(d, SH_POOL_SLOT));
  if (d->spill.copy_of)
    sh_spill_close(&d->spill, &d->seg);
  sh_self_close(&d->self);
  sh_segment_detach(&d->seg);
  close(fd);
  if (d->poke_fd >= 0)
    close(d->poke_fd);
  if (d->event_fd >= 0)
    close(d->event_fd);
  if (d->epoll_fd >= 0)
    close(d->epoll_fd);
  free(d->pidfds);
  free(d->known_clients);
  free(d->known_classes);
  free(d->damaged_logs);
  free(d->leases);
  free(d->verdicts);
  free(d->put_off);
  free(d->endings);
  free(d->progress);
  free(d->actors);
  free(d->actor_waits);
  sh_group_close_all(d);
  free(d->lineup);
  free(d->starved_since);
  free(d->starved_told);
  free(d->lacking_since);
  free(d->lacking_taken);
  free(d->ring_heads);
  free(d->backlog);
  free(d->events);
  pthread_mutex_destroy(&d->lock);
  memset(d, 0, sizeof *d);
}

sh_status sh_repair_condemn(sh_repair *d, uint32_t index, uint32_t epoch, sh_ref task, sh_verdict verdict) {
  if (index == 0 || index >= SH_MAX_CLIENTS || task.index >= sh_pool_capacity(sh_pool_of(&d->seg, SH_POOL_SLOT)))
    return SH_INVALID;
  lock(d);
  sh_status status = SH_LOST;
  sh_a64 *at = &sh_slot_at(&d->seg, task.index)->word;
  uint64_t word = sh_load_acquire(at);
  if (sh_known_client(d, index)->x_epoch == epoch && sh_known_live(d, index) &&
      sh_word_generation(word) == task.generation && sh_is_run_by(word, index) &&
      sh_cas(at, &word, sh_word(task.generation, SH_TASK_KILLING, index, sh_word_tag(word)))) {
    d->verdicts[index] = (uint8_t)(sh_word_state(word) == SH_TASK_CANCELLED ? SH_VERDICT_CANCEL : verdict);
    status = SH_OK;
  }
  unlock(d);
  return status;
}

bool sh_repair_hold(sh_repair *d, sh_ref r) {
  lock(d);
  (void)sh_counts_read(&d->counts); /* the giver's own hold is counted before ours can be dropped */
  bool held = sh_counts_hold(&d->counts, r);
  unlock(d);
  return held;
}

bool sh_repair_hold_for(sh_repair *d, uint32_t client, uint32_t epoch, sh_ref r) {
  if (client == 0 || client >= SH_MAX_CLIENTS)
    return false;
  lock(d);
  (void)sh_counts_read(&d->counts);
  bool held = sh_known_live(d, client) && sh_known_client(d, client)->x_epoch == epoch &&
              sh_counts_hold_for(&d->counts, client, r);
  unlock(d);
  return held;
}

uint32_t sh_repair_holdings(sh_repair *d, sh_holding *out, uint32_t max) {
  uint32_t n = 0;
  lock(d);
  (void)sh_counts_read(&d->counts);
  for (uint32_t client = 0; client < sh_known_high(d); client++) {
    const sh_table *t = &d->counts.holds[client];
    for (uint32_t i = 0; i < t->cap && n < max; i++)
      if (t->keys[i] != 0 && t->counts[i] > 0)
        out[n++] = (sh_holding){.object = sh_ref_unpack(t->keys[i]), .client = client, .count = (uint32_t)t->counts[i]};
  }
  unlock(d);
  return n;
}

void sh_repair_drop(sh_repair *d, sh_ref r) {
  lock(d);
  (void)sh_counts_read(&d->counts); /* who took it while we held it has logged that: count it before our unit goes */
  sh_counts_drop(&d->counts, r);
  (void)sh_counts_work(&d->counts, SH_WORK_NS);
  unlock(d);
}

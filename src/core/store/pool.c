/* SPDX-License-Identifier: Apache-2.0 */
#include "store/pool.h"

#include "base/check.h"
#include "base/grow.h"
#include "base/os.h"

#include <stdlib.h>

static sh_a64 *hint_word(const sh_segment *s, const sh_pool *p, uint32_t word) {
  return (sh_a64 *)(void *)(s->base + p->hints) + word;
}

/* The decisive step of an allocation. */
static bool take(const sh_segment *s, const sh_pool *p, uint32_t index, uint32_t client, uint64_t tagged,
                 uint64_t *out) {
  sh_a64 *word = sh_pool_word(s, p, index);
  uint64_t seen = sh_load_relaxed(word);
  if (sh_word_state(seen) != SH_FREE)
    return false;
  /* A block's chunk may have been returned: what we remember of it is void. */
  sh_a32 *owner = sh_pool_owner(s, p, index / p->chunk_records);
  if (tagged && sh_load32_relaxed(owner) != client + 1U)
    return false;
  uint64_t mine = tagged ? tagged : sh_word(sh_word_generation(seen) + 1U, SH_BUILDING, client, 0);
  if (!sh_cas(word, &seen, mine))
    return false;
  /* (Y) Or between that look and the CAS, which then read the 0 that was stored after the owner was changed. A block of
   * another's chunk would be freed under us when that other dies. Killed before this look: it is free when it does. */
  if (tagged && sh_load32_acquire(owner) != client + 1U) {
    seen = mine;
    (void)sh_cas(word, &seen, 0);
    sh_fetch_or(hint_word(s, p, index / 64U), 1ULL << (index % 64U));
    return false;
  }
  sh_fence_release(); /* (G) our name, then what we write: who reads that, then the word, finds that it is not his any more */
  *out = mine;
  return true;
}

static bool remember_chunk(sh_magazine *m, uint32_t chunk) {
  if (!SH_HAS_ROOM(m->chunks, m->n_chunks, m->cap_chunks, 16U))
    return false;
  m->chunks[m->n_chunks++] = chunk;
  return true;
}

/* Move hinted records of our own chunks into the magazine. One pass over all chunks at most. */
static void refill(const sh_segment *s, const sh_pool *p, sh_magazine *m, uint32_t client) {
  uint32_t words = p->chunk_records / 64U;
  for (uint32_t step = 0; step < m->n_chunks && m->n + 64U <= SH_MAGAZINE; step++) {
    if (m->cursor >= m->n_chunks)
      m->cursor = 0;
    uint32_t chunk = m->chunks[m->cursor];
    if (sh_load32_relaxed(sh_pool_owner(s, p, chunk)) != client + 1U) {
      m->chunks[m->cursor] = m->chunks[--m->n_chunks]; /* it was returned */
      continue;
    }
    for (uint32_t w = 0; w < words && m->n + 64U <= SH_MAGAZINE; w++) {
      sh_a64 *hints = hint_word(s, p, chunk * words + w);
      if (sh_load_relaxed(hints) == 0)
        continue;
      uint64_t bits = sh_exchange(hints, 0); /* killed here: the records stay free and are hinted again by rehint */
      uint32_t first = chunk * p->chunk_records + w * 64U;
      while (bits) {
        uint32_t high = 63U - (uint32_t)__builtin_clzll(bits); /* pushed high first, so popped in address order */
        m->items[m->n++] = first + high;
        bits &= ~(1ULL << high);
      }
    }
    if (m->n >= 64U)
      return;
    m->cursor = m->cursor + 1U < m->n_chunks ? m->cursor + 1U : 0U;
  }
}

static bool is_claimable(uint32_t owner) {
  return owner == 0 || owner == SH_CHUNK_RELEASED || owner == SH_CHUNK_RETURNED;
}

/* Released chunks first, then the first never-used one: so used chunks stay dense from 0. */
static sh_status claim_chunk(const sh_segment *s, const sh_pool *p, sh_magazine *m, uint32_t client,
                             sh_budget_fn budget, void *context) {
  uint64_t bytes = (uint64_t)p->chunk_records * p->record_bytes;
  for (uint32_t chunk = 0; chunk < p->n_chunks; chunk++) {
    sh_a32 *owner = sh_pool_owner(s, p, chunk);
    uint32_t seen = sh_load32_relaxed(owner);
    if (!is_claimable(seen))
      continue;
    bool paid = seen != SH_CHUNK_RELEASED && budget;
    if (paid && !budget(context, bytes))
      return SH_FULL;
    if (!sh_cas32(owner, &seen, client + 1U)) {
      if (paid)
        (void)budget(context, 0U - bytes);
      if (is_claimable(seen))
        chunk--; /* changed under us but still claimable */
      continue;
    }
    if (!remember_chunk(m, chunk)) {
      sh_store32_release(owner, SH_CHUNK_RELEASED);
      return SH_FULL;
    }
    /* Records of a released chunk may be in use; trying each in turn finds the free ones without trusting hints. */
    m->fresh = chunk * p->chunk_records;
    m->fresh_end = m->fresh + p->chunk_records;
    return SH_OK;
  }
  return SH_FULL;
}

sh_status sh_pool_alloc(const sh_segment *s, uint32_t pool, sh_magazine *m, uint32_t client, uint64_t tagged,
                        sh_budget_fn budget, void *context, uint32_t *index, uint64_t *word) {
  const sh_pool *p = sh_pool_of(s, pool);
  for (;;) {
    while (m->n) {
      uint32_t i = m->items[--m->n];
      if (take(s, p, i, client, tagged, word)) {
        *index = i;
        return SH_OK;
      }
    }
    while (m->fresh < m->fresh_end) {
      uint32_t i = m->fresh++;
      if (take(s, p, i, client, tagged, word)) {
        *index = i;
        return SH_OK;
      }
    }
    refill(s, p, m, client);
    if (m->n)
      continue;
    sh_status status = claim_chunk(s, p, m, client, budget, context);
    if (status != SH_OK)
      return status;
  }
}

bool sh_pool_free(const sh_segment *s, uint32_t pool, sh_magazine *m, uint32_t client, uint32_t index,
                  uint64_t expected) {
  const sh_pool *p = sh_pool_of(s, pool);
  sh_assert(index < sh_pool_capacity(p));
  bool tagged = p->word_stride == 8U;
  uint64_t seen = expected;
  uint64_t freed = tagged ? 0 : sh_word(sh_word_generation(expected), SH_FREE, 0, 0);
  if (!sh_cas(sh_pool_word(s, p, index), &seen, freed))
    return false;
  uint32_t chunk = index / p->chunk_records;
  if (m && m->n < SH_MAGAZINE && sh_load32_relaxed(sh_pool_owner(s, p, chunk)) == client + 1U)
    m->items[m->n++] = index;
  else
    sh_fetch_or(hint_word(s, p, index / 64U), 1ULL << (index % 64U));
  return true;
}

uint32_t sh_pool_used_chunks(const sh_segment *s, uint32_t pool) {
  const sh_pool *p = sh_pool_of(s, pool);
  uint32_t n = 0;
  while (n < p->n_chunks && sh_load32_acquire(sh_pool_owner(s, p, n)) != 0)
    n++;
  return n;
}

void sh_pool_rehint(const sh_segment *s, uint32_t pool, uint32_t chunk) {
  const sh_pool *p = sh_pool_of(s, pool);
  uint32_t words = p->chunk_records / 64U;
  for (uint32_t w = chunk * words; w < (chunk + 1U) * words; w++) {
    uint64_t bits = 0;
    for (uint32_t b = 0; b < 64U; b++)
      if (sh_word_state(sh_load_relaxed(sh_pool_word(s, p, w * 64U + b))) == SH_FREE)
        bits |= 1ULL << b;
    if (bits & ~sh_load_relaxed(hint_word(s, p, w)))
      sh_fetch_or(hint_word(s, p, w), bits);
  }
}

bool sh_pool_return_chunk(const sh_segment *s, uint32_t pool, uint32_t chunk, uint64_t tag) {
  const sh_pool *p = sh_pool_of(s, pool);
  sh_a32 *owner = sh_pool_owner(s, p, chunk);
  uint32_t first = chunk * p->chunk_records, end = first + p->chunk_records, i = first;
  uint32_t seen = sh_load32_acquire(owner);
  if (seen == 0 || seen == SH_CHUNK_RETURNED)
    return false;
  while (i < end) {
    uint64_t empty = 0;
    if (!sh_cas(sh_pool_word(s, p, i), &empty, tag))
      break;
    i++;
  }
  uint64_t bytes = (uint64_t)p->chunk_records * p->record_bytes;
  bool whole = i == end && sh_os_punch(s->fd, p->data + chunk * bytes, bytes) == 0;
  whole = whole && sh_cas32(owner, &seen, SH_CHUNK_RETURNED); /* unless somebody has claimed it, if it was released */
  for (uint32_t taken = first; taken < i; taken++)
    sh_store_release(sh_pool_word(s, p, taken), 0);            /* (Y) after the owner */
  for (uint32_t w = first / 64U; !whole && w < end / 64U; w++) /* its owner's magazine has stumbled over them */
    sh_fetch_or(hint_word(s, p, w), ~0ULL);
  return whole;
}

void sh_pool_release_chunks(const sh_segment *s, uint32_t pool, uint32_t client) {
  const sh_pool *p = sh_pool_of(s, pool);
  uint32_t chunks = sh_pool_used_chunks(s, pool);
  for (uint32_t chunk = 0; chunk < chunks; chunk++)
    if (sh_load32_relaxed(sh_pool_owner(s, p, chunk)) == client + 1U)
      sh_store32_release(sh_pool_owner(s, p, chunk), SH_CHUNK_RELEASED);
}

void sh_magazine_destroy(sh_magazine *m) {
  free(m->chunks);
  m->chunks = NULL;
  m->n_chunks = m->cap_chunks = 0;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * A private hash table from 64-bit keys to counts (open addressing, linear probing, tombstone-free deletion by backward
 * shift; D. Knuth, TAOCP vol. 3, 6.4 algorithm R). One thread. Key 0 is not allowed.
 */
#ifndef SH_BASE_TABLE_H
#define SH_BASE_TABLE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct sh_table {
  uint64_t *keys;
  int32_t *counts;
  uint32_t n, cap; /* cap is a power of two, or 0 */
} sh_table;

/* counts[key] += by; an entry that becomes 0 is removed. False when memory is exhausted. */
bool sh_table_add(sh_table *t, uint64_t key, int32_t by);
int32_t sh_table_get(const sh_table *t, uint64_t key);
void sh_table_destroy(sh_table *t);

#endif

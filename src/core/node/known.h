/* SPDX-License-Identifier: Apache-2.0
 *
 * What only the daemon writes, the daemon does not read back: it keeps a private copy of each client's and each class's own
 * words, decides from that, and writes it into the segment. A peer that overwrites such a record is found at the next look:
 * the record is written again, and counted as quarantined. The lock of sh_repair is held.
 */
#ifndef SH_NODE_KNOWN_H
#define SH_NODE_KNOWN_H

#include "node/repair.h"

static inline sh_client *sh_known_client(const sh_repair *d, uint32_t client) {
  return &d->known_clients[client];
}
static inline sh_class *sh_known_class(const sh_repair *d, uint32_t class_id) {
  return &d->known_classes[class_id];
}
static inline bool sh_known_live(const sh_repair *d, uint32_t client) {
  return client < SH_MAX_CLIENTS && sh_load32_relaxed(&d->known_clients[client].x_state) == SH_CLIENT_LIVE;
}
/* Clients and classes ever, by the daemon's own count. */
static inline uint32_t sh_known_high(const sh_repair *d) {
  return d->clients_high;
}

/* Make the record in the segment what is known; what says that it is valid is written last. -> words that differed. */
uint32_t sh_publish_client(sh_repair *d, uint32_t client);
uint32_t sh_publish_class(sh_repair *d, uint32_t class_id);
uint32_t sh_publish_header(sh_repair *d);

/* Look for damage, a part of the records at each tick: own records that somebody else wrote to, seats of nobody, tasks and
 * values that cannot be right, promises that nobody will keep. */
void sh_heal(sh_repair *d);

#endif

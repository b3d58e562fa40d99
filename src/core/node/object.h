/* SPDX-License-Identifier: Apache-2.0
 *
 * Objects: making room for a value, publishing it, and what happens when a promise is resolved.
 */
#ifndef SH_NODE_OBJECT_H
#define SH_NODE_OBJECT_H

#include "node/self.h"

/* put, in two steps: room for `bytes`, which the caller fills, then the born-closed entry. Nothing is visible in between;
 * sh_put_abort undoes. `flags` are SH_VALUE_*; with SH_VALUE_HAS_REFS the rows must have been shared. */
typedef struct sh_put {
  sh_ref ref;
  uint64_t word, loc, bytes;
  uint8_t *data;
} sh_put;
sh_status sh_put_begin(sh_self *self, uint64_t bytes, sh_put *put);
void sh_put_commit(sh_self *self, sh_put *put, uint64_t flags);
/* The same under another name than that of a put: in place of an object that is gone. */
void sh_put_commit_as(sh_self *self, sh_put *put, uint64_t flags, sh_id128 id, uint32_t number);
void sh_put_abort(sh_self *self, sh_put *put);

/* Room in an existing promise (a task's return) for its value. Only the one who will commit the task fills. */
sh_status sh_fill(sh_self *self, sh_ref r, uint64_t bytes, uint64_t flags, uint8_t **data);
/* Fill with an error of the core's own. Always fits. */
void sh_fill_system_error(sh_segment *s, sh_ref r, const sh_system_error *error);

/* Resolve a filled promise: close, tell of it if it is an error, serve its waiters, free it if it was dropped meanwhile.
 * Idempotent. */
void sh_seal(sh_self *self, sh_ref r);

/* Deliver to all waiters of a closed entry, then free them. Idempotent. */
void sh_serve_waiters(sh_self *self, sh_ref r);

/* Closed and dropped: free it here, or leave it to the daemon when it names other objects or its bytes are on disk. With an
 * item of a stream that nobody took goes what comes after it (stream.h). */
void sh_object_release(sh_self *self, sh_ref r);

/* The bytes of a closed object that this client has pinned (refs.h), or that are inline; they stay as long as the pin does.
 * NULL: they are on disk, or damaged (loc tells); ask the daemon for them, go on holding the pin, and look again. */
uint8_t *sh_object_look(sh_self *self, sh_ref r);

#endif

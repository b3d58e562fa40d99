/* SPDX-License-Identifier: Apache-2.0
 *
 * Creates a segment: decides where every pool and region lies. Daemon only, once, before the descriptor is handed over.
 */
#ifndef SH_NODE_LAYOUT_H
#define SH_NODE_LAYOUT_H

#include "node/records.h"

/* Create and map a segment. SH_INVALID for an impossible configuration, SH_OS when the kernel refuses.
 * The caller closes s->fd after sh_segment_detach. */
sh_status sh_node_create(sh_segment *s, const sh_segment_config *config);

#endif

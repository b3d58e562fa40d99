/* SPDX-License-Identifier: Apache-2.0
 *
 * The model that random programs are compared with (test_holders.c): how many hold each object. What somebody holds is
 * there, with the right value; what nobody holds is gone.
 */
#ifndef TESTS_CORE_MODEL_H
#define TESTS_CORE_MODEL_H

#include "rig.h"

enum { MODEL_CLIENTS = 6, MODEL_OBJECTS = 600, MODEL_ROWS = 5, MODEL_NONE = UINT32_MAX };

typedef struct model_object {
  sh_ref ref;
  bool used, resolved, error;
  uint32_t units; /* clients that hold it, rows of living containers and of tasks, the daemon's holds */
  uint64_t value;
  uint32_t n_rows, rows[MODEL_ROWS];
} model_object;

typedef struct model {
  rig *r;
  model_object objects[MODEL_OBJECTS];
  uint32_t local[MODEL_CLIENTS][MODEL_OBJECTS]; /* references in the process */
  uint64_t dice;
} model;

void model_open(model *m, rig *r, uint64_t seed);
/* A number below n; every choice of a run comes from here. */
uint32_t model_dice(model *m, uint32_t n);

uint32_t model_new(model *m, sh_ref ref, bool resolved, uint64_t value);
/* A client has one reference more. */
void model_gained(model *m, uint32_t client, uint32_t id);
/* One holder less; the last one takes the object with it, if it is resolved, and what it holds. */
void model_unit_gone(model *m, uint32_t id);
/* A promise was kept. */
void model_resolved(model *m, uint32_t id);

/* Something that the client holds, or MODEL_NONE; up to MODEL_ROWS of them. */
uint32_t model_any(model *m, uint32_t client);
uint32_t model_some(model *m, uint32_t client, uint32_t *ids, sh_ref *refs);
bool model_is_full(const model *m);

/* One object is as it should be; all are, and nothing else is there but `n_tasks` tasks. */
void model_check(model *m, uint32_t id);
void model_check_all(model *m, uint32_t n_tasks);

#endif

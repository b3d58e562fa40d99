/* SPDX-License-Identifier: Apache-2.0 */
#include "model.h"

void model_open(model *m, rig *r, uint64_t seed) {
  memset(m, 0, sizeof *m);
  m->r = r;
  m->dice = seed;
}

uint32_t model_dice(model *m, uint32_t n) {
  m->dice ^= m->dice << 13;
  m->dice ^= m->dice >> 7;
  m->dice ^= m->dice << 17;
  return (uint32_t)((m->dice >> 11) % n);
}

uint32_t model_new(model *m, sh_ref ref, bool resolved, uint64_t value) {
  uint32_t id = 0;
  while (id < MODEL_OBJECTS && m->objects[id].used)
    id++;
  EXPECT(id < MODEL_OBJECTS);
  m->objects[id] = (model_object){.ref = ref, .used = true, .resolved = resolved, .value = value};
  return id;
}

static void settle(model *m, uint32_t id) {
  model_object *o = &m->objects[id];
  if (!o->used || o->units || !o->resolved)
    return;
  o->used = false;
  for (uint32_t i = 0; i < o->n_rows; i++)
    model_unit_gone(m, o->rows[i]);
}

void model_unit_gone(model *m, uint32_t id) {
  EXPECT(m->objects[id].units > 0);
  m->objects[id].units--;
  settle(m, id);
}

void model_resolved(model *m, uint32_t id) {
  m->objects[id].resolved = true;
  settle(m, id);
}

void model_gained(model *m, uint32_t client, uint32_t id) {
  if (m->local[client][id]++ == 0)
    m->objects[id].units++;
}

bool model_is_full(const model *m) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < MODEL_OBJECTS; i++)
    n += m->objects[i].used;
  return n > MODEL_OBJECTS - 50U;
}

uint32_t model_any(model *m, uint32_t client) {
  uint32_t start = model_dice(m, MODEL_OBJECTS);
  for (uint32_t i = 0; i < MODEL_OBJECTS; i++)
    if (m->local[client][(start + i) % MODEL_OBJECTS])
      return (start + i) % MODEL_OBJECTS;
  return MODEL_NONE;
}

uint32_t model_some(model *m, uint32_t client, uint32_t *ids, sh_ref *refs) {
  uint32_t n = 0, want = model_dice(m, MODEL_ROWS) + 1U;
  for (uint32_t id; n < want && (id = model_any(m, client)) != MODEL_NONE; n++) {
    ids[n] = id;
    refs[n] = m->objects[id].ref;
  }
  return n;
}

void model_check(model *m, uint32_t id) {
  const model_object *o = &m->objects[id];
  const sh_self *self = &m->r->d.self;
  sh_entry *e = sh_entry_checked(&self->seg, o->ref);
  EXPECT(e);
  EXPECT_EQ(sh_entry_is_closed(e, o->ref.generation), o->resolved);
  if (!o->resolved)
    return;
  if (o->error) {
    EXPECT_EQ(rig_error(self, o->ref), SH_ERR_WORKER_DIED);
  } else if (o->n_rows == 0) {
    EXPECT_EQ(rig_value(self, o->ref), o->value);
  } else {
    const sh_payload *p = (const sh_payload *)(const void *)sh_entry_bytes(&self->seg, e);
    EXPECT_EQ(p->n_rows, o->n_rows);
    for (uint32_t i = 0; i < o->n_rows; i++) {
      EXPECT_EQ(sh_payload_rows(p)[i].index, m->objects[o->rows[i]].ref.index);
      EXPECT_EQ(sh_payload_rows(p)[i].generation, m->objects[o->rows[i]].ref.generation);
    }
  }
}

void model_check_all(model *m, uint32_t n_tasks) {
  rig_rounds(m->r, 2);
  (void)sh_counts_work(&m->r->d.counts, SH_COUNTS_ALL);
  uint32_t n_objects = 0;
  for (uint32_t id = 0; id < MODEL_OBJECTS; id++)
    if (m->objects[id].used) {
      n_objects++;
      model_check(m, id);
    }
  sh_stats stats;
  sh_repair_stats(&m->r->d, &stats);
  EXPECT_EQ(stats.live_entries, n_objects);
  EXPECT_EQ(stats.live_slots, n_tasks);
  EXPECT_EQ(stats.quarantined, 0);
  EXPECT(sh_repair_is_valid(&m->r->d));
}

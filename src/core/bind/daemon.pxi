# SPDX-License-Identifier: Apache-2.0
# NodeCore: the daemon's side of a segment.

cdef uint32_t _put_demands(dict demands, uint32_t *kinds, uint32_t *milli) except? 0:
    if len(demands) > SH_MAX_DEMANDS:
        raise _status.Invalid(f"a task may demand {SH_MAX_DEMANDS} kinds of resources, not {len(demands)}")
    for i, kind in enumerate(sorted(demands)):
        kinds[<int>i] = kind
        milli[<int>i] = demands[kind]
    return <uint32_t>len(demands)


def prctl(int option, argument) -> None:
    cdef int rc
    cdef uint64_t word = <uint64_t><size_t>PyBytes_AS_STRING(argument) if type(argument) is bytes else <uint64_t>argument
    rc = sh_os_prctl(option, word)
    if rc < 0:
        raise OSError(-rc, f"prctl({option}): {os.strerror(-rc)}")


@cython.final
cdef class NodeCore:
    """Creates a node's segment and runs its repair thread."""
    cdef sh_repair *d

    def __cinit__(self, *, int cpus, uint64_t store_bytes, uint32_t node_number=0, bytes cluster_id=b"", bint small=False):
        cdef sh_segment_config config
        memset(&config, 0, sizeof(config))
        config.store_bytes = store_bytes
        config.n_seats = <uint32_t>cpus
        config.node_number = node_number
        config.small = small
        if len(cluster_id) == 16:
            memcpy(&config.cluster_lo, <const char *>cluster_id, 8)
            memcpy(&config.cluster_hi, <const char *>cluster_id + 8, 8)
        self.d = <sh_repair *>malloc(sizeof(sh_repair))
        if self.d == NULL:
            raise MemoryError()
        cdef sh_status status = sh_repair_open(self.d, &config)
        if status != SH_OK:
            free(self.d)
            self.d = NULL
            # Many a machine limits these; what is reserved are addresses.
            hint = " (are ulimit -v, -d and -f unlimited?)" if status == SH_OS else ""
            _raise(status, f"cannot create a segment for {cpus} CPUs and {store_bytes} bytes{hint}")

    def __dealloc__(self):
        if self.d != NULL:
            with nogil:
                sh_repair_close(self.d)
            free(self.d)

    @property
    def segment_fd(self) -> int:
        return self.d.seg.fd

    @property
    def poke_fd(self) -> int:
        return self.d.poke_fd

    @property
    def event_fd(self) -> int:
        return self.d.event_fd

    def start(self) -> None:
        cdef sh_status status = sh_repair_start(self.d)
        if status != SH_OK:
            _raise(status, "cannot start the repair thread")

    def stop(self) -> None:
        with nogil:
            sh_repair_stop(self.d)

    def register(self, uint32_t pid, int pidfd, uint32_t role, int32_t class_id=-1, uint32_t root=0, uint32_t crew=0) -> tuple:
        cdef uint32_t index, epoch
        cdef sh_status status
        with nogil:
            status = sh_repair_register(self.d, pid, pidfd, role, class_id, root, crew, &index, &epoch)
        if status != SH_OK:
            _raise(status, "all client records of the node are in use")
        return index, epoch

    def fence(self, uint32_t index, uint32_t epoch) -> None:
        with nogil:
            sh_repair_fence(self.d, index, epoch)

    cdef int _shape(self, sh_shape *shape, uint32_t root, uint32_t cpu_milli, dict demands, uint32_t gpu_milli, int group, int bundle, uint32_t tag) except -1:
        memset(shape, 0, sizeof(sh_shape))
        shape.root = root
        shape.cpu_milli = cpu_milli
        shape.gpu_milli = gpu_milli
        shape.n_demands = _put_demands(demands, shape.kinds, shape.milli)
        shape.group = <uint32_t>(group + 1)
        shape.bundle = <uint32_t>(bundle + 1)
        shape.tag = tag
        return 0

    def define_class(self, *, uint32_t root, uint32_t cpu_milli, dict demands, uint32_t gpu_milli=0, int priority=0, uint32_t crew=0,
                     int group=-1, int bundle=-1, uint32_t tag=0) -> int:
        cdef sh_shape shape
        cdef uint32_t class_id
        self._shape(&shape, root, cpu_milli, demands, gpu_milli, group, bundle, tag)
        shape.priority = _checked_priority(priority)
        shape.crew = crew
        cdef sh_status status = sh_repair_define_class(self.d, &shape, &class_id)
        if status != SH_OK:
            _raise(status, "no further scheduling class can be defined")
        return class_id

    def define_actor(self, *, uint32_t root, uint32_t cpu_milli, dict demands, uint32_t gpu_milli=0, int group=-1,
                     int bundle=-1, uint32_t tag=0, bint logs=False) -> int:
        cdef sh_shape shape
        cdef uint32_t class_id
        self._shape(&shape, root, cpu_milli, demands, gpu_milli, group, bundle, tag)
        shape.logs = logs
        cdef sh_status status = sh_repair_define_actor(self.d, &shape, &class_id)
        if status != SH_OK:
            _raise(status, "no further actor can be defined")
        return class_id

    def define_group(self, bundles) -> int:
        cdef uint32_t class_id, i, n = <uint32_t>len(bundles)
        cdef sh_demand *demands = <sh_demand *>calloc(max(n, 1), sizeof(sh_demand))
        cdef sh_status status
        if demands == NULL:
            raise MemoryError()
        try:
            for i in range(n):
                demands[i].cpu_milli, demands[i].gpu_milli, others = bundles[i]
                demands[i].n = _put_demands(others, demands[i].kinds, demands[i].milli)
            with nogil:
                status = sh_repair_define_group(self.d, demands, n, &class_id)
        finally:
            free(demands)
        if status != SH_OK:
            _raise(status, "no further placement group can be defined")
        return class_id

    def reserve_group(self, uint32_t class_id) -> bool:
        cdef bint granted
        with nogil:
            granted = sh_repair_reserve_group(self.d, class_id)
        return granted

    def remove_group(self, uint32_t class_id) -> None:
        with nogil:
            sh_repair_remove_group(self.d, class_id)

    def bundle_available(self, uint32_t class_id, uint32_t bundle) -> dict | None:
        cdef sh_bundle b
        if not sh_repair_look_at_bundle(self.d, class_id, bundle, &b):
            return None
        out = {-1: b.demand.cpu_milli - b.cpu_used} if b.demand.cpu_milli else {}
        if b.demand.gpu_milli:
            out[0] = sh_ledger_gpu_milli(&b.ledger) - sh_ledger_gpu_used(&b.ledger)
        for i in range(b.demand.n):
            kind = b.demand.kinds[i]
            out[kind] = b.ledger.capacity[<int>kind] - b.ledger.used[<int>kind]
        return out

    def set_restarts(self, uint32_t class_id, bint restarts, uint32_t incarnation) -> None:
        with nogil:
            sh_repair_set_restarts(self.d, class_id, restarts, incarnation)

    def reserve_actor(self, uint32_t class_id) -> bool:
        cdef uint32_t gpu_mask = 0
        cdef bint granted
        with nogil:
            granted = sh_repair_reserve_actor(self.d, class_id, &gpu_mask)
        return granted

    def close_class(self, uint32_t class_id, uint32_t code, uint32_t client, uint32_t epoch, uint32_t pid, int32_t status) -> None:
        cdef sh_system_error end
        end.code = code
        end.client = client
        end.epoch = epoch
        end.pid = pid
        end.wait_status = status
        end.class_id = class_id
        end.function = 0
        with nogil:
            sh_repair_close_class(self.d, class_id, &end)

    def fail_class(self, uint32_t class_id, uint32_t code, uint32_t attempt) -> None:
        cdef sh_system_error end
        memset(&end, 0, sizeof(end))
        end.code = code
        end.epoch = attempt
        end.wait_status = -1
        end.class_id = class_id
        with nogil:
            sh_repair_fail_class(self.d, class_id, &end)

    def end_root(self, uint32_t root) -> None:
        with nogil:
            sh_repair_end_root(self.d, root)

    def set_capacity(self, uint32_t kind, uint32_t amount_milli) -> None:
        cdef sh_status status = sh_repair_set_capacity(self.d, kind, amount_milli)
        if status != SH_OK:
            _raise(status, f"a node has at most {SH_MAX_KINDS} kinds of resources")

    def drain_events(self) -> list:
        cdef sh_event events[64]
        cdef uint32_t n, i
        out = []
        while True:
            n = sh_repair_events(self.d, events, 64)
            for i in range(n):
                out.append((events[i].kind, events[i].a, events[i].b, events[i].c))
            if n < 64:
                return out

    def set_pressure_retries(self, uint32_t count, double pause_s) -> None:
        self.d.pressed_max = min(count, 200)  # counted in a byte
        self.d.pressed_pause_ns = <uint64_t>(pause_s * 1e9)

    def running(self, bint limited_only=False) -> list:
        cdef uint32_t i, high = sh_clients_high(&self.d.seg), role, class_id
        cdef sh_client *c
        cdef sh_slot *t
        cdef uint64_t current, word, allowance
        cdef sh_ref r
        out = []
        for i in range(1, high):
            c = sh_client_at(&self.d.seg, i)
            role = sh_load32_relaxed(&c.x_role)
            if sh_load32_relaxed(&c.x_state) != SH_CLIENT_LIVE or (role != SH_ROLE_WORKER and role != SH_ROLE_ACTOR):
                continue
            current = sh_load_relaxed(&c.x_current)
            allowance = sh_load_relaxed(&c.x_allowance)
            if limited_only and allowance == 0:
                continue
            class_id = sh_load32_relaxed(&c.x_class)
            found = {
                "index": i, "epoch": sh_load32_relaxed(&c.x_epoch), "pid": sh_load32_relaxed(&c.x_pid), "role": role,
                "root": sh_load32_relaxed(&c.x_root), "class_id": class_id, "task": None, "key": None,
                "attempt": 0, "max_retries": 0, "pressed": 0, "since_ns": sh_load_relaxed(&c.x_since_ns),
                "allowance": allowance, "baseline": sh_load_relaxed(&c.x_baseline), "restarts": 0,
            }
            if role == SH_ROLE_ACTOR and class_id < SH_MAX_CLASSES:  # a peer may have written over it
                found["restarts"] = sh_load32_relaxed(&sh_class_at(&self.d.seg, class_id).x_restarts)
            r = sh_ref_unpack(current)
            if current != 0 and sh_slot_known(&self.d.seg, r.index):
                t = sh_slot_at(&self.d.seg, r.index)
                word = sh_load_acquire(&t.word)
                if sh_word_generation(word) == r.generation and sh_is_run_by(word, i):
                    found["task"] = (r.index, r.generation)
                    found["key"] = PyBytes_FromStringAndSize(<char *>&t.fn_lo, 16)
                    found["class_id"] = sh_load32_relaxed(&t.x_class)
                    found["attempt"] = sh_load32_relaxed(&t.x_attempt)
                    found["max_retries"] = t.max_retries
                    found["pressed"] = sh_load8_relaxed(&t.x_pressed)
            if found["task"] is not None or role == SH_ROLE_ACTOR:
                out.append(found)
        return out

    def condemn(self, uint32_t index, uint32_t epoch, tuple task, int verdict) -> bool:
        cdef sh_ref r
        cdef sh_status status
        r.index, r.generation = task
        with nogil:
            status = sh_repair_condemn(self.d, index, epoch, r, <sh_verdict>verdict)
        return status == SH_OK

    def cancel(self, uint32_t index, uint32_t generation, bint force, bint recursive) -> bool:
        cdef sh_ref r
        cdef sh_status status
        r.index, r.generation = index, generation
        with nogil:
            status = sh_repair_cancel(self.d, r, force, recursive)
        return status == SH_OK

    def hold(self, uint32_t index, uint32_t generation) -> bool:
        cdef sh_ref r
        cdef bint held
        r.index, r.generation = index, generation
        with nogil:
            held = sh_repair_hold(self.d, r)
        return held

    def hold_for(self, uint32_t client, uint32_t epoch, uint32_t index, uint32_t generation) -> bool:
        cdef sh_ref r
        cdef bint held
        r.index, r.generation = index, generation
        with nogil:
            held = sh_repair_hold_for(self.d, client, epoch, r)
        return held

    def children(self, uint32_t client, uint32_t epoch, uint32_t index, uint32_t generation) -> list:
        """What earlier attempts of the task in this slot have called, counted for the client that runs it."""
        cdef sh_ref task
        cdef uint32_t i, n = 0, most
        cdef sh_child *found
        task.index, task.generation = index, generation
        with nogil:
            most = sh_repair_children(self.d, client, epoch, task, NULL, 0)
        found = <sh_child *>malloc((most + 1) * sizeof(sh_child))
        if found == NULL:
            raise MemoryError()
        try:
            with nogil:
                n = sh_repair_children(self.d, client, epoch, task, found, most)
            out = []
            for i in range(min(n, most)):
                out.append((found[i].r.index, found[i].r.generation, found[i].counter, found[i].fn_lo, found[i].class_id,
                            found[i].class_generation, found[i].flags, found[i].number, found[i].digest))
            return out
        finally:
            free(found)

    def drop(self, uint32_t index, uint32_t generation) -> None:
        cdef sh_ref r
        r.index, r.generation = index, generation
        with nogil:
            sh_repair_drop(self.d, r)

    def holdings(self, uint32_t most=100000) -> list:
        """Who holds which shared object: (client, object packed as by Survey, references)."""
        cdef uint32_t i, n
        cdef sh_holding *found = <sh_holding *>malloc(most * sizeof(sh_holding))
        if found == NULL:
            raise MemoryError()
        try:
            with nogil:
                n = sh_repair_holdings(self.d, found, most)
            out = []
            for i in range(n):
                out.append((found[i].client, _packed(found[i].object), found[i].count))
            return out
        finally:
            free(found)

    def available(self) -> dict:
        """Free resources by kind in milli; -1 = CPU."""
        cdef sh_stats stats
        sh_repair_stats(self.d, &stats)
        # Seats that leases hold but do not use up are free CPU too.
        out = {-1: int(stats.free_seats + stats.leased_seats) * 1000 - int(self.d.seat_pool_milli)}
        for kind in range(1, SH_MAX_KINDS):
            if self.d.ledger.capacity[kind]:
                out[kind] = self.d.ledger.capacity[kind] - self.d.ledger.used[kind]
        if sh_ledger_gpu_milli(&self.d.ledger):
            out[0] = sh_ledger_gpu_milli(&self.d.ledger) - sh_ledger_gpu_used(&self.d.ledger)
        return out

    def clients(self) -> list:
        cdef uint32_t i, high = sh_clients_high(&self.d.seg)
        cdef sh_client *c
        cdef sh_client_view v
        out = []
        for i in range(1, high):
            c = sh_client_at(&self.d.seg, i)
            if sh_load32_relaxed(&c.x_state) != 0:
                out.append({
                    "index": i, "epoch": sh_load32_relaxed(&c.x_epoch), "pid": sh_load32_relaxed(&c.x_pid),
                    "role": sh_load32_relaxed(&c.x_role), "class_id": sh_load32_relaxed(&c.x_class),
                    "run_state": sh_load8_relaxed(sh_run_state_of(&self.d.seg, i)), "root": sh_load32_relaxed(&c.x_root), "submitted": sh_load_relaxed(&c.x_submitted),
                    "completed": sh_load_relaxed(&c.x_completed), "crew": sh_load32_relaxed(&c.x_crew),
                    "is_blocked": sh_survey_client(&self.d.seg, i, &v) and v.blocked,
                })
        return out

    def task_states(self) -> dict:
        cdef uint64_t counts[SH_TASK_LAST + 1]
        cdef uint32_t state
        with nogil:
            sh_survey_count_tasks(&self.d.seg, counts)
        return {state: counts[state] for state in range(SH_TASK_LAST + 1) if counts[state]}

    def counters(self) -> dict:
        cdef sh_stats s
        with nogil:
            sh_repair_stats(self.d, &s)
        return {
            "live_entries": s.live_entries, "live_slots": s.live_slots, "live_waiters": s.live_waiters,
            "live_bytes": s.live_bytes, "claimed_bytes": s.claimed_bytes, "submitted": s.submitted,
            "tasks_completed": s.completed, "busy_ns": s.busy_ns, "parks": s.parks, "repairs": s.repairs, "sweeps": s.sweeps,
            "quarantined": s.quarantined, "log_events": s.log_events, "free_seats": s.free_seats, "clients": s.clients,
        }

    def is_valid(self) -> bool:
        cdef bint valid
        with nogil:
            valid = sh_repair_is_valid(self.d)
        return valid

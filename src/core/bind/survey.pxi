# SPDX-License-Identifier: Apache-2.0
# Survey: the records of a node, read as they are.

cdef enum:
    MOST_ROWS = 1024  # of a task's or a value's references that are told


cdef inline uint64_t _packed(sh_ref r) noexcept:
    return <uint64_t>r.index | (<uint64_t>r.generation << 32)


cdef inline bytes _id_bytes(const sh_id128 *id):
    return PyBytes_FromStringAndSize(<const char *>id, 16)


@cython.final
cdef class Survey:
    """What lies in a node's segment, read without asking anybody and without writing a word."""
    cdef sh_segment own
    cdef const sh_segment *seg
    cdef Client client  # keeps the mapping that we look into; None: it is our own

    def __init__(self, source):
        if self.seg != NULL:
            raise _status.Invalid("a survey looks at one node only")
        cdef sh_status status
        if isinstance(source, Client):
            self.client = <Client>source
            self.client.check()
            self.seg = &self.client.s.seg
            return
        status = sh_segment_observe(&self.own, source)
        if status != SH_OK:
            _raise(status, "this is not the segment of a node that this version of Shoal can read")
        self.seg = &self.own

    def __dealloc__(self):
        sh_segment_detach(&self.own)

    cdef int check(self) except -1:
        if self.seg == NULL:
            raise _status.Invalid("this survey was not opened")
        if self.client is not None:
            self.client.check()
        return 0

    def tasks(self, uint32_t start=0, uint32_t most=4096) -> tuple:
        cdef sh_task_view v
        cdef uint32_t i, end, stop
        self.check()
        end = sh_survey_end(self.seg, SH_POOL_SLOT)
        stop = end if end - start < most or end < start else start + most
        out = []
        for i in range(start, stop):
            if sh_survey_task(self.seg, i, &v):
                out.append((
                    _packed(v.task), v.state, v.who, v.class_id, v.submitter, v.depth, v.flags, v.attempt, v.max_retries,
                    v.root, v.n_returns, v.n_deps, _packed(v.awaits), _id_bytes(&v.id), _id_bytes(&v.parent),
                    _id_bytes(&v.function), v.spec_bytes))
        return out, stop if stop < end else None

    def objects(self, uint32_t start=0, uint32_t most=4096) -> tuple:
        cdef sh_object_view v
        cdef uint32_t i, end, stop
        self.check()
        end = sh_survey_end(self.seg, SH_POOL_ENTRY)
        stop = end if end - start < most or end < start else start + most
        out = []
        for i in range(start, stop):
            if sh_survey_object(self.seg, i, &v):
                out.append((
                    _packed(v.object), _id_bytes(&v.id) + v.number.to_bytes(4, "little"), v.number, v.owner, v.owner_flags,
                    v.closed, v.dropped, v.size, v.value_flags, v.where, _packed(v.producer)))
        return out, stop if stop < end else None

    def waiters(self, uint32_t start=0, uint32_t most=4096) -> tuple:
        cdef sh_waiter_view v
        cdef uint32_t i, end, stop
        self.check()
        end = sh_survey_end(self.seg, SH_POOL_WAITER)
        stop = end if end - start < most or end < start else start + most
        out = []
        for i in range(start, stop):
            if sh_survey_waiter(self.seg, i, &v):
                out.append((_packed(v.object), v.kind, v.target))
        return out, stop if stop < end else None

    def clients(self, uint32_t start=0, uint32_t most=4096) -> list:
        cdef sh_client_view v
        cdef uint32_t i, high = sh_clients_high(self.seg)
        self.check()
        out = []
        for i in range(start, high if most > high or start > high - most else start + most):
            if sh_survey_client(self.seg, i, &v):
                out.append((
                    i, v.state, v.epoch, v.pid, v.role, v.class_id, v.root, v.run_state, v.blocked, _packed(v.current),
                    v.since_ns, v.awaits, v.waits, v.room_wanted, v.submitted, v.completed, v.busy_ns, v.parks, v.lease))
        return out

    def classes(self, uint32_t start=0, uint32_t most=4096) -> list:
        cdef sh_class_view v
        cdef uint32_t i, j, high = SH_MAX_CLASSES
        self.check()
        out = []
        for i in range(start, high if most > high or start > high - most else start + most):
            if sh_survey_class(self.seg, i, &v):
                demands = {}
                for j in range(v.n_demands):
                    demands[v.kinds[j]] = v.milli[j]
                out.append((i, v.state, v.kind, v.root, v.cpu_milli, v.gpu_milli, v.taker, v.unreferenced, demands))
        return out

    def watched(self, uint32_t client) -> list:
        cdef sh_waiter_view v
        cdef uint32_t i
        self.check()
        out = []
        for i in range(sh_survey_end(self.seg, SH_POOL_WAITER)):
            if sh_survey_waiter(self.seg, i, &v) and v.kind == SH_WAITS_CLIENT and v.target == client:
                out.append(_packed(v.object))
        return out

    cdef list _refs(self, const sh_ref *refs, uint32_t n):
        cdef uint32_t i
        out = []
        for i in range(n):
            out.append(_packed(refs[i]))
        return out

    def arguments(self, uint64_t task) -> list:
        cdef sh_ref refs[MOST_ROWS]
        self.check()
        return self._refs(refs, sh_survey_arguments(self.seg, sh_ref_unpack(task), refs, MOST_ROWS))

    def contents(self, uint64_t object) -> list:
        cdef sh_ref refs[MOST_ROWS]
        self.check()
        return self._refs(refs, sh_survey_contents(self.seg, sh_ref_unpack(object), refs, MOST_ROWS))

    def is_pinned(self, uint32_t client, uint64_t object) -> bool:
        self.check()
        return sh_survey_is_pinned(self.seg, client, sh_ref_unpack(object).index)

    def store(self) -> tuple:
        self.check()
        return sh_store_claimed(self.seg), sh_store_limit(self.seg)

    @property
    def now_ns(self) -> int:
        return sh_os_now_ns()

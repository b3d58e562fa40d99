# SPDX-License-Identifier: Apache-2.0
# When the store is full, or what is wanted lies on disk: asking the daemon, and waiting.
#
# A worker that waits here keeps its CPU, unlike one that waits for a result: another task in its place would want memory too,
# and pin its arguments. So no more tasks hold arguments and unfinished results than there are CPUs.

cdef enum:
    ROOM_SLICE_NS = 50000000
    RECORDS_WAIT_NS = 100000000
    AHEAD = 64


cdef bint _wait_for_room(Client self, uint64_t n_bytes, uint64_t *until) except -1:
    # Before each further attempt to find room for n_bytes. *until is 0 at first. False: it stays full, and time is over.
    # The daemon sees what is wanted here (x_room_wanted), spills, and wakes; _got_room() takes the wish back.
    cdef sh_status status
    cdef uint64_t slice_ns = ROOM_SLICE_NS
    if until[0] == 0:
        if n_bytes > self.s.seg.fixed.store_bytes:
            return False  # it never fits
        # Records come free when references go; nobody can make more of them.
        until[0] = sh_os_now_ns() + (self.full_wait_ns if self.s.lacks_room else RECORDS_WAIT_NS) + 1
        _want_room(self, n_bytes)
        self.room_seq = sh_park_prepare(&self.s.me.park)
        sh_self_poke(&self.s)
        return True
    try:
        sh_park_announce(&self.s.me.park, self.room_seq)
        with nogil:
            status = sh_park_any(&self.s, self.room_seq, until[0], slice_ns)
        PyErr_CheckSignals()
        self.check_alive()
    except BaseException:
        _got_room(self)
        raise
    if status == SH_TIMEOUT:
        _got_room(self)
        return False
    _want_room(self, n_bytes)
    self.room_seq = sh_park_prepare(&self.s.me.park)
    return True


cdef inline void _want_room(Client self, uint64_t n_bytes) noexcept:
    if self.s.lacks_room:
        sh_store_release(&self.s.me.x_room_wanted, n_bytes)
    self.s.lacks_room = False


cdef inline void _got_room(Client self) noexcept:
    sh_store_release(&self.s.me.x_room_wanted, 0)


cdef object _raise_full(Client self, sh_status status, uint64_t n_bytes, str what):
    # The daemon knows what fills the store, and why nothing of it can go.
    if status == SH_FULL and self.full_hook is not None:
        raise self.full_hook(n_bytes, what)
    _raise(status, what)


cdef inline bint _is_away(Client self, sh_ref r) noexcept:
    return sh_loc_kind_of(sh_load_relaxed(&sh_entry_at(&self.s.seg, r.index).loc)) == SH_LOC_SPILLED


cdef int _bring_back(Client self, list needed, list ahead, uint64_t deadline) except -1:
    # Have the daemon read objects from disk; all of `needed` are here afterwards.
    cdef uint64_t now
    timeout_s = None
    if deadline != SH_NO_DEADLINE:
        now = sh_os_now_ns()
        timeout_s = (deadline - now) / 1e9 if deadline > now else 0.0
    self.restore_hook(needed, ahead, timeout_s)
    self.check()
    return 0


cdef list _away_of(Client self, list items, Py_ssize_t start):
    # The next spilled ones of a list of ObjectRefs, for reading ahead.
    cdef list out = []
    cdef Py_ssize_t i
    cdef sh_ref r
    for i in range(start, len(items)):
        r = (<ObjectRef>items[i]).r
        if _is_away(self, r):
            out.append((r.index, r.generation))
            if len(out) == AHEAD:
                break
    return out


cdef object _heap_value(Client self, sh_ref r, uint64_t deadline, list items, Py_ssize_t at):
    # A value whose bytes are in the heap, or were. Pinned while we look, so that nobody takes them away (node/spill.h).
    cdef uint64_t size
    cdef uint8_t *data
    cdef int attempts = 0
    sh_pin(&self.s, r)
    try:
        data = sh_object_look(&self.s, r)
        while data == NULL:
            if _is_away(self, r):
                _bring_back(self, [(r.index, r.generation)], _away_of(self, items, at + 1) if items is not None else [], deadline)
            elif not sh_loc_in_heap(sh_load_relaxed(&sh_entry_at(&self.s.seg, r.index).loc)):
                break  # damaged
            data = sh_object_look(&self.s, r)  # it may have been put back between two looks
        size = sh_load_relaxed(&sh_entry_at(&self.s.seg, r.index).size_flags)
        if size & SH_VALUE_ERROR:
            raise self._error(data, size & SH_VALUE_SIZE_MASK, r)
        return _decode(self, data, size & SH_VALUE_SIZE_MASK, r, True)
    finally:
        sh_unpin(&self.s, r)


@cython.final
cdef class SpillCore:
    """The daemon's hands on spilling (node/spill.h): what may go, what must come, and the memory of both."""
    cdef NodeCore core
    cdef sh_repair *d

    def __init__(self, NodeCore core not None):
        self.core = core
        self.d = core.d

    def shortage(self) -> tuple:
        cdef sh_shortage s
        sh_spill_shortage(self.d, &s)
        return s.n_waiting, s.largest, s.total

    def wake(self) -> None:
        sh_spill_wake(self.d)

    def choose(self, uint64_t largest, uint64_t total, uint32_t most=16384) -> tuple:
        cdef sh_victim *victims = <sh_victim *>malloc(most * sizeof(sh_victim))
        cdef cbool has_room = False
        cdef uint32_t i, n
        if victims == NULL:
            raise MemoryError()
        try:
            with nogil:
                n = sh_spill_choose(self.d, largest, total, victims, most, &has_room)
            out = []
            for i in range(n):
                out.append((victims[i].ref.index, victims[i].ref.generation, victims[i].n_bytes, victims[i].place))
            return out, bool(has_room)
        finally:
            free(victims)

    def bytes_of(self, uint32_t index, uint32_t generation):
        cdef sh_ref r
        cdef uint64_t n = 0
        cdef const uint8_t *data
        r.index, r.generation = index, generation
        with nogil:
            data = sh_spill_bytes(self.d, r, &n)
        return None if data == NULL else PyMemoryView_FromMemory(<char *>data, <Py_ssize_t>n, PyBUF_READ)

    def written(self, uint32_t index, uint32_t generation, uint64_t place) -> bool:
        cdef sh_ref r
        cdef sh_status status
        r.index, r.generation = index, generation
        with nogil:
            status = sh_spill_written(self.d, r, place)
        return status == SH_OK

    def evict(self, uint32_t index, uint32_t generation) -> bool:
        cdef sh_ref r
        cdef sh_status status
        r.index, r.generation = index, generation
        with nogil:
            status = sh_spill_evict(self.d, r)
        return status == SH_OK

    def trim(self, uint64_t largest, uint64_t n_bytes) -> int:
        cdef uint64_t given
        with nogil:
            given = sh_spill_trim(self.d, largest, n_bytes)
        return given

    def begin_restore(self, uint32_t index, uint32_t generation):
        cdef Restoring restoring = Restoring.__new__(Restoring)
        cdef sh_ref r
        cdef sh_status status
        r.index, r.generation = index, generation
        with nogil:
            status = sh_restore_begin(self.d, r, &restoring.r)
        if status == SH_EMPTY:
            return None
        if status == SH_FULL:
            return <uint64_t>restoring.r.n_bytes
        if status == SH_AGAIN:
            return 0
        if status != SH_OK:
            raise KeyError((index, generation))
        restoring.core = self.core
        return restoring

    def forget(self, uint32_t index, uint32_t generation) -> int:
        cdef sh_ref r
        cdef uint64_t place
        r.index, r.generation = index, generation
        with nogil:
            place = sh_spill_forget(self.d, r)
        return place

    def gone(self, uint32_t looks) -> list:
        cdef uint64_t places[1024]
        cdef uint32_t i, n
        with nogil:
            n = sh_spill_gone(self.d, places, 1024, looks)
        return [places[i] for i in range(n)]

    def next_arguments(self, uint32_t most=64) -> list:
        cdef sh_ref refs[256]
        cdef uint32_t i, n
        most = min(most, 256)
        with nogil:
            n = sh_spill_next(self.d, refs, most)
        return [(refs[i].index, refs[i].generation) for i in range(n)]

    def counters(self) -> dict:
        return {"copies": self.d.spill.n_live, "spilled_objects": self.d.spill.n_away, "spilled_bytes": self.d.spill.bytes_away}


def address_of(buffer) -> int:
    """Where a buffer's bytes begin."""
    cdef Py_buffer view
    PyObject_GetBuffer(buffer, &view, PyBUF_SIMPLE)
    cdef size_t address = <size_t>view.buf
    PyBuffer_Release(&view)
    return address


def punch_hole(int fd, uint64_t offset, uint64_t n_bytes) -> bool:
    """Give a range of a file back to the file system. False: it cannot do that."""
    cdef int rc
    with nogil:
        rc = sh_os_punch(fd, offset, n_bytes)
    return rc == 0


@cython.final
cdef class Restoring:
    """Memory for an object that is being read back. End it by `commit` or `abort`."""
    cdef NodeCore core
    cdef sh_restore r
    cdef bint over

    @property
    def place(self) -> int:
        return self.r.place

    @property
    def nbytes(self) -> int:
        return self.r.n_bytes

    @property
    def view(self):
        """All of the room, which may be more than the object's bytes."""
        return PyMemoryView_FromMemory(<char *>self.r.data, <Py_ssize_t>sh_heap_capacity(&self.core.d.seg, self.r.loc), PyBUF_WRITE)

    def commit(self) -> bool:
        cdef sh_status status
        if self.over:
            raise _status.Invalid("this restore has ended")
        self.over = True
        with nogil:
            status = sh_restore_commit(self.core.d, &self.r)
        return status == SH_OK

    def abort(self) -> None:
        if not self.over:
            self.over = True
            with nogil:
                sh_restore_abort(self.core.d, &self.r)

# SPDX-License-Identifier: Apache-2.0
# Client: objects, calls and waits of this process.

cdef enum:
    SPIN_LOCKED_NS = 20000
    SPIN_FREE_NS = 80000
    SPIN_SLICE_NS = 5000
    SLICE_NS = 50000000
    BIG_ARGUMENT = 65536
    PAGE = 4096
    INLINE_DEPTH = 64
    INTERRUPT_AGAIN_NS = 1000000000  # an interrupt that user code swallowed is repeated, but lets it clean up
    MARKED = SH_LOCAL_MARKED

cdef extern from "<unistd.h>" nogil:
    int close(int fd)

cdef void _wait_unlocked(sh_a32 *word, uint32_t seq, uint64_t ns) noexcept:
    # In the middle of a core call, when the reference log is full: the thread that learns of the daemon's death needs the GIL.
    with nogil:
        sh_os_futex_wait(word, seq, ns)


cdef Client _latest = None
cdef uint64_t _serial = 0


@cython.final
cdef class Client:
    """This process's share of a node's segment."""
    cdef sh_self s
    cdef bint closed, mapped, has_parents, adopts  # it has run a task that may be repeated; one that was
    cdef bint copies  # what is decoded now is to be the reader's own
    cdef uint64_t serial
    cdef public object dumps_arrays, encode_fallback, decode_error, decode_system_error, await_hook, future_hook, next_hook, import_ref, export_ref, run_inline
    cdef public object full_hook, restore_hook, stuck_hook, made_hook, earlier_calls
    cdef public bint is_sole
    cdef sh_trace_head *trace  # NULL: this node does not trace
    cdef uint64_t full_wait_ns
    cdef uint32_t room_seq
    cdef unsigned long main_thread
    cdef uint32_t resolved_seq
    cdef list watched
    cdef object trace_mapping
    cdef object callers  # a WeakSet, with the first of them
    cdef int eventfd, poke_fd
    cdef sh_listener *listener
    cdef dict protected
    cdef int blocked, minding, inline_depth
    cdef object __weakref__

    def __cinit__(self, int segment_fd, int poke_fd, uint32_t index, uint32_t epoch):
        global _latest, _serial
        self.eventfd = -1
        self.poke_fd = -1
        self.closed = True
        # The mapping outlives the descriptor; only the poke descriptor is needed from here on.
        cdef int poke = os.dup(poke_fd)
        cdef sh_status status = sh_self_open(&self.s, segment_fd, poke, index, epoch)
        if status != SH_OK:
            os.close(poke)
            _raise(status, "cannot attach to the node's segment")
        self.s.wait_hook = _wait_unlocked
        self.poke_fd = poke
        self.closed = False
        self.mapped = True
        _serial += 1
        self.serial = _serial
        self.main_thread = _thread.get_ident()
        self.watched = []
        self.protected = {}
        _latest = self

    def __dealloc__(self):
        # Zero-copy views keep the Client, so nothing looks into the segment any more.
        if not self.mapped:
            return
        self._leave_segment()
        self.s.open = True
        sh_self_close(&self.s)

    cdef void _leave_segment(self) noexcept:
        if not self.s.open:
            return
        self.closed = True
        if not self.s.forked:
            sh_listener_stop(self.listener)
        self.listener = NULL
        self.s.open = False
        for fd in (self.poke_fd, self.eventfd):
            if sh_os_is_eventfd(fd):  # or somebody else closed it, and its number is another file's
                close(fd)

    cdef int check(self) except -1:
        if self.closed or not self.s.open:
            raise _status.Closed("this connection to the node was closed; call shoal.init() again")
        if self.s.forked:
            raise _status.Forked("this client belongs to the parent process; call shoal.init() in the child to get its own")
        if self.s.n_dead:
            sh_ref_flush(&self.s)
        return 0

    cdef int check_alive(self) except -1:
        # For calls that give the node something. What it has resolved already can be read after its end.
        self.check()
        if self.s.lost:
            raise _status.Fenced("the node's daemon is gone, and its workers and objects with it; call shoal.init() again")
        return 0

    @property
    def index(self):
        return self.s.index

    @property
    def epoch(self):
        return self.s.epoch

    @property
    def role(self):
        return self.s.role

    @property
    def is_closed(self) -> bool:
        return self.closed

    def forked(self) -> None:
        """In the child of os.fork(): refuse every further call; nothing shared is touched again."""
        sh_self_forked(&self.s)

    def node_lost(self) -> None:
        """The daemon is gone, and the segment with it: end every wait of this process with Fenced. Any thread."""
        if not self.closed and not self.s.forked:
            sh_self_lost(&self.s)

    def leave(self) -> None:
        """Take no more work: should_exit turns true and next_task returns None. Any thread."""
        if not self.closed and not self.s.forked:
            sh_self_leave(&self.s)

    def memory_limit(self, uint32_t class_id) -> int:
        self.check()
        return sh_class_memory(&self.s.seg, class_id)

    def class_tag(self, uint32_t class_id) -> int:
        self.check()
        return sh_load32_relaxed(&sh_class_at(&self.s.seg, class_id).tag)

    def forget_templates(self) -> None:
        _forget_templates(self)

    @property
    def lease(self) -> dict:
        return {"gpu_mask": <uint32_t>(sh_load_relaxed(&self.s.me.x_lease) >> 32)}

    def allow(self, uint64_t baseline, uint64_t allowance) -> None:
        self.check()
        sh_store_relaxed(&self.s.me.x_baseline, baseline)
        sh_store_relaxed(&self.s.me.x_allowance, allowance)

    def flush(self) -> None:
        """Let go of what this process's dropped references still hold. Every other call does it first, too."""
        if not self.closed:  # the daemon may ask for it while the driver leaves
            self.check()

    @property
    def full_wait_s(self):
        """How long a put, a call or a result waits for room in a full store: seconds."""
        return self.full_wait_ns / 1e9

    @full_wait_s.setter
    def full_wait_s(self, double seconds):
        self.full_wait_ns = <uint64_t>(seconds * 1e9)

    # -- objects

    def put(self, value) -> ObjectRef:
        self.check_alive()
        return self._put(_encode(self, value))

    def put_error(self, bytes payload not None, list refs not None) -> ObjectRef:
        self.check_alive()
        cdef ObjectRef ref = self._put(_encode_error(payload, refs), SH_VALUE_ERROR)
        sh_tell_of_error(&self.s.seg)
        return ref

    cdef ObjectRef _put(self, Encoded e, uint64_t flags=0):
        cdef sh_put p
        cdef sh_status status = sh_put_begin(&self.s, e.total, &p)
        cdef uint64_t until = 0
        while status == SH_FULL and _wait_for_room(self, e.total, &until):
            status = sh_put_begin(&self.s, e.total, &p)
        if until:
            _got_room(self)
        if status != SH_OK:
            _raise_full(self, status, e.total, f"no room for an object of {e.total} bytes")
        if e.total > 32768 and self.protected:
            self._unprotect(p.data, e.total)
        try:
            _write(self, e, p.data)
        except BaseException:
            sh_put_abort(&self.s, &p)
            raise
        if e.rows:
            sh_log_reserve(&self.s, 2)  # now, for between _enter and _leave no other thread may run
        self._enter()
        sh_put_commit(&self.s, &p, flags | (SH_VALUE_HAS_REFS if e.rows else 0))
        self._leave()
        return _made(self, p.ref)

    cdef inline void _enter(self) noexcept:
        # Whose calls and puts these are: the task of this thread, else the job itself.
        if sh_context.client == self.serial:
            self.s.task_id = sh_context.task_id
            self.s.task_counter = sh_context.counter
            self.s.put_counter = sh_context.put_counter
            self.s.depth = sh_context.depth
            self.s.parent = sh_context.parent
        else:
            self._adopt_thread()

    cdef void _adopt_thread(self) noexcept:
        # The first thread acts for the job; others draw a random identity under the same root.
        sh_context.task_id = sh_id_root(self.s.root)
        if _thread.get_ident() != self.main_thread or self.s.role != SH_ROLE_DRIVER:
            sh_context.task_id = sh_id_draw(sh_context.task_id, <uint64_t>int.from_bytes(os.urandom(8), "little"))
        sh_context.counter = 0
        sh_context.put_counter = 0
        sh_context.depth = 0
        sh_context.parent = self.s.parent = 0
        sh_context.adopts = False
        sh_context.client = self.serial
        self.s.task_id = sh_context.task_id
        self.s.task_counter = 0
        self.s.put_counter = 0
        self.s.depth = 0

    cdef inline void _leave(self) noexcept:
        sh_context.counter = self.s.task_counter
        sh_context.put_counter = self.s.put_counter

    def create(self, uint64_t nbytes) -> Buffer:
        """An unsealed object of nbytes: a Buffer with writable `.view`, one page into its payload."""
        return _create(self, nbytes)

    def seal_array(self, Buffer buffer not None, tuple describe, bint stays_writable=False) -> ObjectRef:
        return _seal_array(self, buffer, describe, stays_writable)

    cdef void _unprotect(self, uint8_t *data, uint64_t n) except *:
        # Memory of an object that was sealed in place has come back to us.
        cdef size_t start, first = <size_t>data, end = <size_t>data + n
        for begin, length in list(self.protected.items()):
            start = begin
            if start < end and first < start + <size_t>length:
                sh_os_protect(<void *>start, length, True)
                del self.protected[begin]

    def adopt(self, uint32_t index, uint32_t generation) -> ObjectRef:
        """The reference of an object that the daemon has just counted for us (NodeCore.hold_for)."""
        cdef sh_ref r
        r.index, r.generation = index, generation
        self.check()
        cdef sh_status status = sh_ref_adopt(&self.s, r)
        if status != SH_OK:
            _raise(status, f"the node has no object {index}")
        return _wrap(self, r)

    def share(self, ObjectRef ref not None) -> None:
        """The reference leaves this process by another way than a call or a value: have it counted."""
        self.check()
        sh_ref_share(&self.s, ref.r)

    def is_resolved(self, ObjectRef ref not None) -> bool:
        self.check()
        return sh_entry_is_closed(sh_entry_at(&self.s.seg, ref.r.index), ref.r.generation)

    def is_over(self, uint32_t index, uint32_t generation) -> bool:
        cdef sh_ref r
        cdef sh_entry *e
        r.index, r.generation = index, generation
        self.check()
        e = sh_entry_checked(&self.s.seg, r)
        return e == NULL or sh_entry_is_closed(e, generation)

    cdef object _value(self, sh_ref r, uint64_t deadline=SH_NO_DEADLINE, list items=None, Py_ssize_t at=0):
        # `items[at]` is r: what comes behind it is read ahead if it lies on disk.
        cdef sh_entry *e = sh_entry_at(&self.s.seg, r.index)
        cdef uint64_t size
        cdef uint8_t *data
        if sh_loc_kind_of(sh_load_relaxed(&e.loc)) > SH_LOC_INLINE:
            return _heap_value(self, r, deadline, items, at)
        size = sh_load_relaxed(&e.size_flags)
        data = sh_entry_bytes(&self.s.seg, e)
        if size & SH_VALUE_ERROR:
            raise self._error(data, size & SH_VALUE_SIZE_MASK, r)
        return _decode(self, data, size & SH_VALUE_SIZE_MASK, r, True)

    cdef object _error(self, const uint8_t *data, uint64_t size, sh_ref r):
        cdef const sh_payload *p = <const sh_payload *>data
        cdef const sh_system_error *error
        if data == NULL or size < sizeof(sh_payload) or sh_payload_inband_offset(p) > size \
                or p.inband_bytes > size - sh_payload_inband_offset(p):
            return _status.CoreError("the object's error is damaged")
        if p.flags & SH_PAYLOAD_SYSTEM_ERROR:
            error = <const sh_system_error *>(data + sh_payload_inband_offset(p))
            return self.decode_system_error(error.code, {
                "client": error.client, "epoch": error.epoch, "pid": error.pid, "status": error.wait_status,
                "class_id": error.class_id, "function": error.function})
        return self.decode_error(PyBytes_FromStringAndSize(
            <const char *>data + sh_payload_inband_offset(p), <Py_ssize_t>p.inband_bytes), _take_rows(self, p, 0))

    # -- waiting (waiting.pxi)

    def get(self, ref, timeout_s=None):
        return _get(self, ref, timeout_s)

    def get_many(self, refs, timeout_s=None):
        return _get_many(self, refs, timeout_s)

    def wait(self, refs, Py_ssize_t num_returns, timeout_s=None):
        return _wait(self, refs, num_returns, timeout_s)

    # -- the claiming side (worker.pxi)

    def next_task(self, timeout_s=None) -> Task:
        return _next_task(self, timeout_s)

    def try_next_task(self) -> Task:
        return _try_next_task(self)

    def finish(self, Task task not None, values) -> bool:
        return _finish(self, task, values)

    def fail(self, Task task not None, bytes payload not None, list refs not None) -> bool:
        return _fail(self, task, payload, refs)

    def set_current(self, Task task) -> None:
        _set_current(self, task)

    def task_of(self, ObjectRef ref not None) -> tuple:
        self.check()
        if ref.client is not self:
            raise _status.Invalid("this ObjectRef belongs to an earlier connection")
        cdef sh_entry *e = sh_entry_at(&self.s.seg, ref.r.index)
        cdef uint64_t producer = sh_load_relaxed(&e.producer)
        cdef sh_ref task = sh_ref_unpack(producer)
        if producer == 0 or not sh_slot_known(&self.s.seg, task.index):
            return None
        return task.index, task.generation, (sh_slot_at(&self.s.seg, task.index).flags & SH_SLOT_ACTOR_CALL) != 0

    def interrupt(self, signal_number=0, frame=None) -> None:
        _interrupt(self)

    def is_ending(self, Task task not None) -> bool:
        return not task.over and not self.closed and sh_is_ending(&self.s, task.slot)

    def must_end(self, Task task not None) -> bool:
        if task.told or not self.is_ending(task):
            return False
        task.told = True
        return True

    def retry(self, Task task not None) -> bool:
        return _retry(self, task)

    def repeat_here(self, Task task not None) -> bool:
        return _repeat_here(self, task)

    def surrender(self, Task task not None) -> bool:
        return _surrender(self, task)

    def put_back(self, Task task not None) -> bool:
        return _put_back(self, task)

    @property
    def should_exit(self) -> bool:
        return self.closed or sh_should_exit(&self.s)

    # -- event loops

    def wake_fd(self) -> int:
        self.check()
        if self.eventfd < 0:
            self.eventfd = sh_os_eventfd()
            if self.eventfd < 0:
                _raise(SH_OS, "cannot make an eventfd")
            self.listener = sh_listener_start(self.s.me, self.eventfd)
            if self.listener == NULL:
                raise MemoryError("cannot start the listener thread")
        return self.eventfd

    def watch(self, ObjectRef ref not None) -> bool:
        self.check()
        cdef sh_status status = sh_watch(&self.s, ref.r)
        if status == SH_EMPTY:
            return True
        if status != SH_OK:
            _raise(status, "cannot wait for the object")
        self.s.local[ref.r.index].flags |= SH_LOCAL_WATCHED
        return False

    def unwatch(self, ObjectRef ref not None) -> None:
        if not self.closed and not self.s.forked:
            self.s.local[ref.r.index].flags &= ~<uint32_t>SH_LOCAL_WATCHED

    def drain_watched(self) -> list:
        self.check()
        _drain(self)
        out, self.watched = self.watched, []
        return out

    def rearm(self, bint want_calls=True) -> bool:
        cdef uint32_t seq
        cdef bint work
        self.check()
        if self.listener == NULL:
            raise _status.Invalid("wake_fd() was never asked for")
        if not sh_listener_is_armed(self.listener):
            seq = sh_park_prepare(&self.s.me.park)
            sh_park_announce(&self.s.me.park, seq)
            sh_listener_arm(self.listener, seq)
        _drain(self)
        work = len(self.watched) > 0 or sh_should_exit(&self.s)
        if want_calls and self.s.role == SH_ROLE_ACTOR:
            work = work or sh_next_possible(&self.s)
        if work or not want_calls:
            sh_idle_withdraw(&self.s)
        else:
            sh_idle_announce(&self.s)  # calls that lie unclaimed from now on are for the repair thread to see
        sh_set_run_state(&self.s, SH_RUN_BUSY if work else SH_RUN_PARKED)
        return work

    def look(self, bint want_calls) -> bool:
        self.check()
        return len(self.watched) > 0 or sh_any_fired(&self.s) or (want_calls and sh_next_possible(&self.s))

    def spin(self, bint want_calls) -> int:
        cdef bint found = False
        self.check()
        if not sh_may_spin(&self.s):
            return -1
        if want_calls:
            with nogil:
                found = sh_spin_call(&self.s, SPIN_SLICE_NS)
        return found

    def awake(self) -> None:
        self.check()
        sh_idle_withdraw(&self.s)

    def counters(self) -> dict:
        self.check()
        cdef sh_client *me = self.s.me
        return {
            "submitted": sh_load_relaxed(&me.x_submitted), "completed": sh_load_relaxed(&me.x_completed),
            "busy_ns": sh_load_relaxed(&me.x_busy_ns), "parks": sh_load_relaxed(&me.x_parks),
        }

    def close(self) -> None:
        """Leave the segment. References of this connection become unusable and hold nothing; what views look at stays."""
        global _latest
        if _latest is self:
            _latest = None
        if not self.closed:
            self.closed = True  # first: no other thread uses a reference from here on
            if sh_self_usable(&self.s) == SH_OK:
                sh_ref_leave(&self.s)
        self._leave_segment()
        self.forget_templates()  # or functions would keep the mapping, and with it the memory of a node that is gone

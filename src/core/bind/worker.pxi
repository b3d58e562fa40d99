# SPDX-License-Identifier: Apache-2.0
# Calls: templates and submission; and their other end, claiming and finishing tasks. How else a call ends: ending.pxi.

cdef int _checked_priority(int priority) except? -1:
    if not -<int>SH_PRIORITY_USUAL <= priority < <int>SH_PRIORITY_USUAL:
        raise _status.Invalid(f"a priority is from -{SH_PRIORITY_USUAL} to {SH_PRIORITY_USUAL - 1}, not {priority}")
    return priority


@cython.final
cdef class CallTemplate:
    """Everything about a call that does not change between calls."""
    cdef Client client
    cdef sh_call call
    cdef object keep

    def __init__(self, Client client not None, *, bytes key not None, uint32_t class_id, uint32_t num_returns=1,
                 uint32_t max_retries=0, int priority=0, uint64_t timeout_ns=0, bint retry_overdue=False, bint is_actor_call=False,
                 bint creates_actor=False, keep=None, uint32_t max_items_ahead=0):
        if len(key) != 16:
            raise _status.Invalid(f"a function key has 16 bytes, not {len(key)}")
        memset(&self.call, 0, sizeof(sh_call))
        memcpy(&self.call.fn_lo, <const char *>key, 8)
        memcpy(&self.call.fn_hi, <const char *>key + 8, 8)
        self.call.class_id = class_id
        self.call.n_returns = num_returns
        if num_returns == _RETURNS_STREAM:
            self.call.n_returns = SH_STREAM_DONE + 1
            self.call.flags = SH_SLOT_STREAM
            self.call.ahead = max_items_ahead
        elif num_returns == _RETURNS_DYNAMIC:
            self.call.n_returns = 1
            self.call.flags = SH_SLOT_DYNAMIC
        self.call.max_retries = max_retries
        self.call.priority = <uint8_t>(_checked_priority(priority) + SH_PRIORITY_USUAL)
        self.call.timeout_ns = timeout_ns
        self.call.flags |= (SH_SLOT_ACTOR_CALL if is_actor_call else 0) | (SH_SLOT_CREATES_ACTOR if creates_actor else 0) \
            | (SH_SLOT_RETRY_OVERDUE if retry_overdue else 0)
        self.client = client
        self.keep = keep


@cython.final
cdef class Caller:
    """The callable behind `.remote`."""
    cdef object bind
    cdef CallTemplate template
    cdef object __weakref__

    def __init__(self, bind):
        self.bind = bind

    def __call__(self, *args, **kwargs):
        cdef CallTemplate t = self.template
        if t is None or t.client.closed or t.client.s.forked:
            bound = self.bind()
            if type(bound) is not CallTemplate:  # of another implementation of Client: asked for each time
                return bound(args, kwargs)
            t = self.template = <CallTemplate>bound
            if t.client.callers is None:
                t.client.callers = weakref.WeakSet()
            t.client.callers.add(self)
        return _submit(t, args, kwargs)


cdef object _forget_templates(Client client):
    for caller in list(client.callers or ()):
        (<Caller>caller).template = None


cdef bint _is_big(object value):
    kind = type(value)
    if kind is bytes:
        return PyBytes_GET_SIZE(value) >= BIG_ARGUMENT
    if kind is int or kind is float or kind is str or kind is bool or value is None or kind is ObjectRef:
        return False
    if kind is not memoryview and not hasattr(kind, "__array_interface__"):  # of its class: an object may answer anything
        return False
    try:
        size = value.nbytes
    except Exception:
        return False
    return type(size) is int and size >= BIG_ARGUMENT


cdef Encoded _encode_call(Client client, tuple args, dict kwargs):
    # Top-level references become dependencies (the first rows); big arguments become objects first.
    cdef list rows = [], positions = None, plain = None
    cdef dict named = None
    cdef Py_ssize_t i
    cdef uint32_t n_deps
    cdef Encoded e
    for i in range(len(args)):
        value = args[i]
        if type(value) is not ObjectRef and not _is_big(value):
            continue
        if plain is None:
            plain = list(args)
            positions = []
        rows.append(value if type(value) is ObjectRef else client._put(_encode(client, value)))
        positions.append(i)
        plain[i] = None
    for name, value in kwargs.items():
        if type(value) is not ObjectRef and not _is_big(value):
            continue
        if named is None:
            named = dict(kwargs)
            positions = [] if positions is None else positions
        rows.append(value if type(value) is ObjectRef else client._put(_encode(client, value)))
        positions.append(name)
        named[name] = None
    for value in rows:
        if (<ObjectRef>value).client is not client:
            raise _status.Invalid("an argument is an ObjectRef of an earlier connection")
    if positions is not None:
        # Dependencies are not in the pickle at all: it says where they go.
        n_deps = <uint32_t>len(rows)
        nested = list(rows)
        e = _encode(client, (tuple(plain) if plain is not None else args, named if named is not None else kwargs, positions), nested)
        e.shape = CALL_DEPS
        e.n_deps = n_deps
    elif kwargs:
        e = _encode(client, (args, kwargs), rows)
        e.shape = CALL_KWARGS
    else:
        e = _encode(client, args, rows)
        e.shape = CALL_ARGS
    _measure(e)
    return e


cdef object _submit(CallTemplate t, tuple args, dict kwargs):
    cdef Client client = t.client
    cdef Encoded e = None
    cdef uint64_t payload_bytes = 0
    cdef uint32_t slot, n_deps = 0, i
    cdef uint8_t *payload
    cdef sh_status status
    cdef uint64_t until = 0
    cdef sh_ref one
    cdef sh_ref *returns = &one
    client.check_alive()
    if args or kwargs:
        e = _encode_call(client, args, kwargs)
        payload_bytes = e.total
        n_deps = e.n_deps
    if client.adopts and sh_context.adopts and sh_context.client == client.serial:
        adopted = _adopt(t, e)
        if adopted is not NotImplemented:
            return adopted
    if t.call.n_returns > 1:
        returns = <sh_ref *>malloc(t.call.n_returns * sizeof(sh_ref))
        if returns == NULL:
            raise MemoryError(f"no memory for {t.call.n_returns} references")
    try:
        client._enter()
        status = sh_submit_begin(&client.s, &t.call, payload_bytes, n_deps, &slot, &payload, returns)
        while status == SH_FULL and _wait_for_room(client, payload_bytes, &until):
            client._enter()
            status = sh_submit_begin(&client.s, &t.call, payload_bytes, n_deps, &slot, &payload, returns)
        if until:
            _got_room(client)
        if status == SH_OK:
            client._leave()  # now: what follows may wait or copy at length, and other threads run meanwhile
            if e is not None:
                if payload_bytes > 32768 and client.protected:
                    client._unprotect(payload, payload_bytes)
                try:
                    _write(client, e, payload)
                except BaseException:
                    sh_submit_abort(&client.s, slot, returns)
                    raise
            if client.has_parents:
                client.s.parent = sh_context.parent
            if client.trace != NULL:
                _trace_submitted(client, slot)
            status = sh_submit_commit(&client.s, slot, e is not None and len(e.rows) > 0, returns)
        if status != SH_OK:
            _raise_full(client, status, payload_bytes, f"no room for a call with {payload_bytes} bytes of arguments")
        if t.call.n_returns == 1:
            return _made(client, one)
        if t.call.n_returns == 0:
            return None
        if t.call.flags & SH_SLOT_STREAM:
            return _stream_of(client, returns)
        out = []
        for i in range(t.call.n_returns):
            out.append(_made(client, returns[i]))
        return out
    finally:
        if returns != &one:
            free(returns)


@cython.final
@cython.freelist(64)
cdef class Task:
    """A claimed task on its worker. Lives until finish or fail."""
    cdef Client client
    cdef uint32_t slot
    cdef readonly bytes key
    cdef readonly bytes id
    cdef readonly uint32_t num_returns, attempt, class_id, caller, depth
    cdef readonly bint creates_actor
    cdef sh_id128 task_id
    cdef uint64_t parent  # its slot, packed, if it may be run again; else 0
    cdef dict earlier     # what earlier attempts called, by place (adopt.pxi); None: not asked for yet
    cdef dict actors_anew  # generations of classes: of actors that this attempt creates though an earlier one had; or None
    cdef uint32_t counter, put_counter
    cdef bint over
    cdef bint closing, told  # its error is being sealed; it was told to end
    cdef uint64_t interrupted_ns
    cdef uint64_t claimed_ns, loaded_ns, ran_ns  # if its client traces
    cdef bint raised
    cdef object permits  # of a bounded stream: those that may be unresolved, a deque of ObjectRefs

    @property
    def lease(self) -> dict:
        return self.client.lease

    @property
    def delivered(self) -> int:
        self.client.check()
        return sh_stream_delivered(&self.client.s, self.slot)

    @property
    def is_wanted(self) -> bool:
        self.client.check()
        return sh_stream_is_wanted(&self.client.s, self.slot)

    def offer(self, value) -> bool:
        return _deliver(self.client, self, value)

    def deliver(self, value) -> bool:
        cdef ObjectRef permit
        if not _deliver(self.client, self, value):
            return False
        if self.permits is None:
            return True
        permit = _oldest_permit(self.client, self)
        while permit is not None:
            _await(self.client, permit.r, SH_NO_DEADLINE, None, NULL)
            permit = _oldest_permit(self.client, self)
        return sh_stream_is_wanted(&self.client.s, self.slot)

    def blocked_by(self) -> ObjectRef:
        self.client.check()
        return _oldest_permit(self.client, self)

    def end_stream(self) -> bool:
        return _end_stream(self.client, self)

    def load(self) -> tuple:
        value = self._load()
        if self.client.trace != NULL:
            self.loaded_ns = sh_os_now_ns()
        return value

    cdef tuple _load(self):
        cdef Client client = self.client
        client.check()
        cdef sh_slot *t = sh_slot_at(&client.s.seg, self.slot)
        cdef const sh_payload *p = sh_slot_payload(&client.s.seg, t)
        cdef uint64_t skip
        cdef uint32_t n_deps = t.n_deps, i, shape
        cdef const sh_row *row
        cdef sh_ref r
        if p == NULL:
            return (), {}
        skip = 8 * <uint64_t>t.n_returns if t.n_returns > 1 else 0
        shape = p.spare
        value = _decode(client, <const uint8_t *>p, t.spec_bytes - skip, r, False, n_deps)
        if shape == CALL_ARGS:
            return value, {}
        if shape == CALL_KWARGS:
            return value
        args, kwargs, positions = value
        args = list(args)
        row = sh_payload_rows(p)
        _bring_arguments(client, row, n_deps)
        for i in range(n_deps):
            r.index = row[i].index
            r.generation = row[i].generation
            if sh_entry_checked(&client.s.seg, r) == NULL:
                raise _status.ArgumentError(client.decode_system_error(SH_ERR_DAMAGED, {
                    "client": 0, "epoch": 0, "pid": 0, "status": -1, "class_id": 0, "function": 0}))
            if sh_load_relaxed(&sh_entry_at(&client.s.seg, r.index).size_flags) & SH_VALUE_ERROR:
                try:
                    client._value(r)
                except BaseException as error:
                    raise _status.ArgumentError(error) from None
            where = positions[i]
            if type(where) is int:
                args[where] = client._value(r)
            else:
                kwargs[where] = client._value(r)
        return tuple(args), kwargs


cdef int _bring_arguments(Client client, const sh_row *row, uint32_t n_deps) except -1:
    # Arguments that lie on disk are read all at once.
    cdef list away = None
    cdef uint32_t i
    cdef sh_ref r
    for i in range(n_deps):
        r.index = row[i].index
        r.generation = row[i].generation
        if sh_entry_checked(&client.s.seg, r) != NULL and _is_away(client, r):
            away = [] if away is None else away
            away.append((r.index, r.generation))
    if away is None or len(away) < 2:
        return 0
    # A wish only: each is pinned, and waited for, when it is looked at.
    return _bring_back(client, away[:1], away[1:], SH_NO_DEADLINE)


cdef Task _task(Client client, uint32_t slot):
    cdef Task task = Task.__new__(Task)
    cdef sh_slot *t = sh_slot_at(&client.s.seg, slot)
    task.client = client
    task.slot = slot
    task.key = PyBytes_FromStringAndSize(<char *>&t.fn_lo, 16)
    task.id = PyBytes_FromStringAndSize(<char *>&t.id_lo, 16)
    task.task_id.lo = t.id_lo
    task.task_id.hi = t.id_hi
    task.num_returns = t.n_returns if not t.flags & (SH_SLOT_STREAM | SH_SLOT_DYNAMIC) else _kind_of_returns(t.flags)
    task.attempt = sh_load32_relaxed(&t.x_attempt)
    task.class_id = sh_load32_relaxed(&t.x_class)
    task.caller = t.submitter
    task.depth = t.depth
    task.creates_actor = (t.flags & SH_SLOT_CREATES_ACTOR) != 0
    task.counter = 0
    task.put_counter = 0
    task.parent = (<uint64_t>sh_word_generation(sh_load_relaxed(&t.word)) << 32 | slot) if t.max_retries or client.s.logs else 0
    task.over = task.closing = task.told = False
    task.interrupted_ns = 0
    if client.trace != NULL:
        task.claimed_ns = sh_os_now_ns()
        task.loaded_ns = task.ran_ns = 0
        task.raised = False
    return task


cdef object _try_next_task(Client client):
    cdef uint32_t slot
    client.check()
    if sh_next_try(&client.s, &slot) != SH_OK:
        return None
    return _task(client, slot)


cdef object _next_task(Client client, object timeout_s):
    cdef uint64_t deadline = _deadline(client, timeout_s)
    cdef uint32_t slot, seq
    cdef sh_status status
    cdef bint found, was_idle = False
    while True:
        client.check()
        if sh_next_try(&client.s, &slot) == SH_OK:
            if was_idle and client.s.role == SH_ROLE_WORKER and sh_next_possible(&client.s):
                sh_wake_worker(&client.s.seg)  # work is left: the next one may start too
            return _task(client, slot)
        if sh_should_exit(&client.s):
            return None
        if not sh_os_is_eventfd(client.poke_fd):
            raise _status.CoreError("a descriptor of the node's was closed in this process by somebody else: it cannot go on")
        was_idle = True
        with nogil:
            found = sh_spin_next(&client.s)
        if found:
            PyErr_CheckSignals()
            continue
        seq = sh_park_prepare(&client.s.me.park)
        sh_park_announce(&client.s.me.park, seq)
        sh_idle_announce(&client.s)
        if sh_next_possible(&client.s):
            sh_park_cancel(&client.s.me.park)
            sh_idle_withdraw(&client.s)
            continue
        with nogil:
            status = sh_park_any(&client.s, seq, deadline, SH_NO_DEADLINE)
        sh_idle_withdraw(&client.s)
        if status == SH_FENCED or status == SH_TIMEOUT:
            return None
        PyErr_CheckSignals()


cdef bint _commit(Client client, Task task):
    cdef bint done
    task.over = True
    if client.trace != NULL:  # before: who gets the result finds the event
        _trace_ran(client, task, SH_TRACE_RAISED if task.raised else SH_TRACE_RETURNED)
    done = sh_commit(&client.s, task.slot) == SH_OK
    _let_children_go(client, task)
    return done


cdef object _finish(Client client, Task task, values):
    cdef sh_slot *t
    cdef uint32_t i, n = 1 if task.num_returns == _RETURNS_DYNAMIC else task.num_returns
    cdef Encoded e
    cdef sh_ref r
    cdef uint8_t *data
    cdef sh_status status
    cdef uint64_t until = 0
    cdef list encoded = []
    client.check()
    if task.over:
        raise _status.Invalid("this task was finished before")
    if <uint32_t>len(values) != n:
        raise _status.Invalid(f"{n} values were announced, {len(values)} given")
    if client.trace != NULL:
        task.ran_ns = sh_os_now_ns()
    for value in values:
        encoded.append(_encode(client, value))
    client.check()
    t = sh_slot_at(&client.s.seg, task.slot)
    for i in range(n):
        e = <Encoded>encoded[i]
        r = sh_slot_return(&client.s.seg, t, i)
        status = sh_fill(&client.s, r, e.total, SH_VALUE_HAS_REFS if e.rows else 0, &data)
        while status == SH_FULL and _wait_for_room(client, e.total, &until):
            status = sh_fill(&client.s, r, e.total, SH_VALUE_HAS_REFS if e.rows else 0, &data)
        if until:
            _got_room(client)
            until = 0
        if status != SH_OK:
            _raise_full(client, status, e.total, f"no room for a result of {e.total} bytes")
        if e.total > 32768 and client.protected:
            client._unprotect(data, e.total)
        _write(client, e, data)
    for i in range(n):  # after the last fill: had one failed, nothing would have been counted
        if (<Encoded>encoded[i]).rows:
            sh_log_append(&client.s, SH_LOG_CONTAINS, sh_slot_return(&client.s.seg, t, i))
    return _commit(client, task)


cdef object _fail(Client client, Task task, bytes payload, list refs):
    cdef sh_slot *t
    cdef uint32_t i
    cdef Encoded e = _encode_error(payload, refs)
    cdef sh_ref r
    cdef uint8_t *data
    cdef sh_status status
    cdef uint64_t until = 0
    cdef sh_system_error full
    cdef list filled = []
    client.check()
    if task.over:
        raise _status.Invalid("this task was finished before")
    t = sh_slot_at(&client.s.seg, task.slot)
    if client.trace != NULL:
        task.ran_ns, task.raised = sh_os_now_ns(), True
    if task.num_returns == _RETURNS_STREAM:
        _no_more_items(client, task)
    for i in range(t.n_returns):
        r = sh_slot_return(&client.s.seg, t, i)
        status = sh_fill(&client.s, r, e.total, SH_VALUE_ERROR | (SH_VALUE_HAS_REFS if refs else 0), &data)
        while status == SH_FULL and _wait_for_room(client, e.total, &until):
            status = sh_fill(&client.s, r, e.total, SH_VALUE_ERROR | (SH_VALUE_HAS_REFS if refs else 0), &data)
        if until:
            _got_room(client)
            until = 0
        if status == SH_OK:
            _write(client, e, data)
            filled.append(i)
        else:  # one of the core's own always fits
            full.code = SH_ERR_STORE_FULL
            full.pid = <uint32_t>os.getpid()
            full.client = client.s.index
            full.epoch = client.s.epoch
            full.wait_status = -1
            full.class_id = task.class_id
            full.function = t.fn_lo
            sh_fill_system_error(&client.s.seg, r, &full)
    if refs:
        for at in filled:
            sh_log_append(&client.s, SH_LOG_CONTAINS, sh_slot_return(&client.s.seg, t, <uint32_t>at))
    return _commit(client, task)

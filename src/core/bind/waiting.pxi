# SPDX-License-Identifier: Apache-2.0
# get and wait: looking, spinning, parking.

cdef uint64_t _deadline(Client self, timeout_s) except 0:
    if timeout_s is None:
        return SH_NO_DEADLINE
    cdef double seconds
    try:
        seconds = timeout_s
    except TypeError:
        raise TypeError(f"timeout must be a number of seconds or None, not {timeout_s!r}") from None
    if seconds != seconds or seconds < 0:
        raise ValueError(f"timeout must be at least 0 seconds or None, not {timeout_s!r}")
    if seconds > 1e9:
        return SH_NO_DEADLINE
    return sh_os_now_ns() + <uint64_t>(seconds * 1e9) + 1


cdef enum:
    STUCK_FIRST_NS = 1000000000  # a wait that is parked so long is looked into, and again after twice the time
    STUCK_MOST_NS = 30000000000


cdef inline void _tell_what_for(Client self, uint64_t awaits, uint64_t waits) noexcept:
    # For people who ask why nothing moves (node/survey.h), and for who looks for a circle: before a park and after the last
    # one, never on the way of a value that is there or comes while we spin.
    if self.blocked <= 1:
        sh_waits_tell(&self.s, awaits, waits)
    else:
        sh_waits_tell(&self.s, SH_AWAITS_SEVERAL, 0)


cdef uint64_t _waits(Client self, uint64_t began_ns, uint64_t deadline, uint64_t sole) noexcept:
    # The word for a wait that began now. What an attempt's timeout ends, or another thread than the call's is in, is not sole.
    began_ns &= ~<uint64_t>SH_WAIT_ENDS_BY
    if deadline != SH_NO_DEADLINE or not self.is_sole or sh_context.task == NULL or sh_context.client != self.serial:
        return began_ns
    if sh_load_relaxed(&sh_slot_at(&self.s.seg, (<Task>sh_context.task).slot).deadline_left_ns):
        return began_ns
    return began_ns | sole


@cython.final
cdef class Wait:
    """A get or wait that is parked."""
    cdef Client client
    cdef list items  # ObjectRefs; None: the one
    cdef sh_ref one
    cdef uint64_t waits
    cdef bint for_ever

    @property
    def began_ns(self) -> int:
        return self.waits & ~<uint64_t>SH_WAIT_ENDS_BY

    @property
    def is_for_ever(self) -> bool:
        return self.for_ever

    @property
    def is_sole(self) -> bool:
        return self.waits & SH_WAIT_ENDS_BY != SH_WAIT_ANYHOW

    def unresolved(self) -> list:
        cdef sh_ref r
        if self.items is None:
            return [_packed(self.one)] if not sh_entry_is_closed(sh_entry_at(&self.client.s.seg, self.one.index), self.one.generation) else []
        out = []
        for item in self.items:
            r = (<ObjectRef>item).r
            if not sh_entry_is_closed(sh_entry_at(&self.client.s.seg, r.index), r.generation):
                out.append(_packed(r))
        return out

    def watch_all(self) -> bool:
        cdef sh_ref r
        cdef sh_status status
        if self.waits & SH_WAIT_ENDS_BY != SH_WAIT_LISTED:
            return True
        self.client.check()
        for item in self.items:
            r = (<ObjectRef>item).r
            status = sh_watch(&self.client.s, r)
            if status != SH_OK and status != SH_EMPTY:
                return False
        self.waits |= SH_WAIT_ALL
        if self.client.blocked == 1:
            sh_waits_change(&self.client.s, self.waits)
        return True


cdef Wait _stuck(Client self, Wait wait, sh_ref one, list items, uint64_t waits, uint64_t deadline):
    # Look into a wait that is long -> the wait, for the next time. Raises what the hook returns.
    if wait is None:
        wait = Wait.__new__(Wait)
        wait.client = self
        wait.items = items
        wait.one = one
        wait.waits = waits
        wait.for_ever = deadline == SH_NO_DEADLINE
    error = self.stuck_hook(wait)
    if error is not None:
        raise error
    return wait


cdef int _await(Client self, sh_ref r, uint64_t deadline, list items, uint32_t *errors) except -1:
    # 0: resolved, 1: timed out. With `items`, or else None and NULL: raises the error of the first of them that has one, as
    # soon as there is one. *errors is how many the node had sealed when we last looked through the items.
    cdef sh_status status
    cdef bint found
    cdef uint64_t slice_ns, began_ns, waits, look_after_ns = STUCK_FIRST_NS
    cdef Wait wait = None
    if items is not None:
        _raise_first_error(self, items, errors)
    if deadline != SH_NO_DEADLINE and sh_os_now_ns() >= deadline:
        return 1
    if self.run_inline is not None and sh_context.task != NULL and sh_should_run_awaited(&self.s):
        if _run_awaited(self, r) and sh_entry_is_closed(sh_entry_at(&self.s.seg, r.index), r.generation):
            return 0
    if sh_may_spin(&self.s):
        sh_set_run_state(&self.s, SH_RUN_SPINNING)
        if sh_spin_closed(&self.s, r, SPIN_LOCKED_NS):
            sh_set_run_state(&self.s, SH_RUN_BUSY)
            return 0
        with nogil:
            found = sh_spin_closed(&self.s, r, SPIN_FREE_NS)
        sh_set_run_state(&self.s, SH_RUN_BUSY)
        if found:
            return 0
    status = sh_watch(&self.s, r)
    if status == SH_EMPTY:
        return 0
    if status != SH_OK:
        _raise(status, "cannot wait for the object")
    # Only drivers take signals in their waits; a wait of theirs is cut so that one is never missed for long.
    slice_ns = SLICE_NS if self.s.role == SH_ROLE_DRIVER else 1000000000
    if self.blocked == 0:
        sh_block(&self.s)
    self.blocked += 1
    began_ns = sh_os_now_ns()
    waits = _waits(self, began_ns, deadline, SH_WAIT_SOLE if items is None or PyList_GET_SIZE(items) == 1 else SH_WAIT_LISTED)
    _tell_what_for(self, <uint64_t>r.index | (<uint64_t>r.generation << 32), waits)
    if items is not None:
        if self.minding == 0:
            sh_mind_errors(&self.s, True)
        self.minding += 1
    try:
        while True:
            with nogil:
                status = sh_park_closed(&self.s, r, errors, deadline, slice_ns)
            if status == SH_OK:
                return 0
            if status == SH_TIMEOUT:
                return 1
            if status != SH_AGAIN:
                _raise(status, "the node has stopped, or this process was removed from it; call shoal.init() again")
            PyErr_CheckSignals()
            if items is not None:
                _raise_first_error(self, items, errors)
            if self.stuck_hook is not None and sh_os_now_ns() - began_ns >= look_after_ns:
                look_after_ns += look_after_ns if look_after_ns < STUCK_MOST_NS else STUCK_MOST_NS
                wait = _stuck(self, wait, r, items, waits, deadline)
    finally:
        if items is not None:
            self.minding -= 1
            if self.minding == 0:
                sh_mind_errors(&self.s, False)
        self.blocked -= 1
        if self.blocked == 0:
            sh_waits_end(&self.s)
            sh_unblock(&self.s)


cdef bint _run_awaited(Client self, sh_ref r) except -1:
    # Rather than one more parked process: run what we wait for here. Each level costs stack, so only so many.
    cdef uint32_t slot
    cdef Task outer = <Task>sh_context.task
    cdef uint64_t since_ns = sh_load_relaxed(&self.s.me.x_since_ns)
    if self.inline_depth >= INLINE_DEPTH or sh_next_awaited(&self.s, r, &slot) != SH_OK:
        return False
    self.inline_depth += 1
    try:
        self.run_inline(_task(self, slot))
    finally:
        self.inline_depth -= 1
        sh_resume(&self.s, outer.slot, since_ns)
    return True


cdef object _get(Client self, object ref, object timeout_s):
    cdef ObjectRef o
    cdef uint64_t deadline = _deadline(self, timeout_s)
    if type(ref) is not ObjectRef:
        raise TypeError(f"get() takes an ObjectRef or a list of them, not {type(ref).__name__}")
    o = <ObjectRef>ref
    self.check()
    if o.client is not self:
        raise _status.Invalid("this ObjectRef belongs to an earlier connection")
    if not sh_entry_is_closed(sh_entry_at(&self.s.seg, o.r.index), o.r.generation):
        if _await(self, o.r, deadline, None, NULL):
            raise _status.Timeout(f"{o!r} was not ready within {timeout_s} s")
    return self._value(o.r, deadline)


cdef list _get_many(Client self, object refs, object timeout_s):
    # All values; or the error of any item as soon as there is one, whatever the others do.
    cdef ObjectRef o
    cdef uint32_t errors = 0
    cdef Py_ssize_t i, n
    cdef list items = list(refs)  # while we wait, or unpickle, others may change theirs
    self.check()
    cdef uint64_t deadline = _deadline(self, timeout_s)
    n = len(items)
    for i in range(n):
        item = items[i]
        if type(item) is not ObjectRef:
            raise TypeError(f"get() takes ObjectRefs; element {i} is of type {type(item).__name__}")
        if (<ObjectRef>item).client is not self:
            raise _status.Invalid(f"element {i}: this ObjectRef belongs to an earlier connection")
    for i in range(n - 1, -1, -1):  # the last one first: usually one wait instead of n
        o = <ObjectRef>items[i]
        if not sh_entry_is_closed(sh_entry_at(&self.s.seg, o.r.index), o.r.generation):
            if _await(self, o.r, deadline, items, &errors):
                raise _status.Timeout(f"{o!r} was not ready within {timeout_s} s")
    out = []
    for i in range(n):
        out.append(self._value((<ObjectRef>items[i]).r, deadline, items, i))
    return out


cdef int _raise_first_error(Client self, list items, uint32_t *errors) except -1:
    # The error of the first item that has one, if the node has sealed any since we looked.
    cdef Py_ssize_t i
    cdef sh_ref r
    cdef sh_entry *e
    cdef uint32_t sealed = sh_errors_sealed(&self.s)  # before the look: a later one makes us look again
    if sealed == errors[0]:
        return 0
    errors[0] = sealed
    for i in range(PyList_GET_SIZE(items)):
        r = (<ObjectRef>PyList_GET_ITEM(items, i)).r
        e = sh_entry_at(&self.s.seg, r.index)
        if sh_entry_is_closed(e, r.generation) and sh_load_relaxed(&e.size_flags) & SH_VALUE_ERROR:
            self._value(r)
    return 0


cdef void _drain(Client self) noexcept:
    sh_drain_fired(&self.s, _on_fired, <void *>self)


cdef tuple _wait(Client self, object refs, Py_ssize_t num_returns, object timeout_s):
    # Two passes over the list when enough is ready: one that checks, marks and counts, one that splits and unmarks.
    cdef list items = refs if type(refs) is list else list(refs)
    cdef Py_ssize_t n = len(items), ready
    cdef uint64_t deadline = _deadline(self, timeout_s)
    cdef uint32_t first = 0xFFFFFFFF
    self.check()
    _drain(self)
    ready = _mark_items(self, items, n, &first)
    try:
        if ready < num_returns and not (timeout_s is not None and timeout_s == 0):
            _unmark(self, items, n)  # while we sleep, other threads may wait for the same refs,
            if items is refs:
                items = list(items)  # and change the list
            ready = _wait_for(self, items, n, num_returns, deadline, &first)
        if ready > num_returns > 1:
            first = _nth_resolved(self, items, n, num_returns)
        elif ready <= num_returns:
            first = 0xFFFFFFFF
    except BaseException:
        _unmark(self, items, n)
        raise
    return _split(self, items, n, num_returns if num_returns < ready else ready, first)


cdef Py_ssize_t _wait_for(Client self, list items, Py_ssize_t n, Py_ssize_t num_returns, uint64_t deadline, uint32_t *first) except -1:
    # Park until num_returns items are resolved or the deadline passes. -> how many are.
    cdef uint64_t slice_ns = SLICE_NS if self.s.role == SH_ROLE_DRIVER else 1000000000
    cdef Py_ssize_t i, ready
    cdef uint32_t seq
    cdef sh_local *l
    cdef sh_ref r
    cdef sh_status status
    cdef uint64_t began_ns, waits, look_after_ns = STUCK_FIRST_NS
    cdef Wait wait = None
    for i in range(n):
        r = (<ObjectRef>PyList_GET_ITEM(items, i)).r
        l = &self.s.local[r.index]
        if l.flags & SH_LOCAL_CLOSED or l.waiter:
            continue
        status = sh_watch(&self.s, r)
        if status == SH_EMPTY:
            _mark_resolved(self, l)
        elif status != SH_OK:
            _raise(status, "cannot wait for the object")
    if self.blocked == 0:
        sh_block(&self.s)
    self.blocked += 1
    began_ns = sh_os_now_ns()
    waits = _waits(self, began_ns, deadline, SH_WAIT_ALL)
    _tell_what_for(self, SH_AWAITS_SEVERAL, waits)
    try:
        while True:
            seq = sh_park_prepare(&self.s.me.park)
            sh_park_announce(&self.s.me.park, seq)
            _drain(self)
            ready = _count_ready(self, items, n, first)
            if ready >= num_returns:
                sh_park_cancel(&self.s.me.park)
                return ready
            with nogil:
                status = sh_park_any(&self.s, seq, deadline, slice_ns)
            if status == SH_TIMEOUT:
                _drain(self)
                return _count_ready(self, items, n, first)
            if status == SH_FENCED:
                _raise(status, "the node has stopped, or this process was removed from it; call shoal.init() again")
            PyErr_CheckSignals()
            if self.stuck_hook is not None and sh_os_now_ns() - began_ns >= look_after_ns:
                look_after_ns += look_after_ns if look_after_ns < STUCK_MOST_NS else STUCK_MOST_NS
                wait = _stuck(self, wait, r, items, waits, deadline)
    finally:
        self.blocked -= 1
        if self.blocked == 0:
            sh_waits_end(&self.s)
            sh_unblock(&self.s)


cdef Py_ssize_t _mark_items(Client self, list items, Py_ssize_t n, uint32_t *first) except -1:
    # Types, duplicates and readiness. All items stay marked; on an error none does.
    cdef Py_ssize_t i, ready = 0
    cdef ObjectRef o
    cdef sh_local *l
    cdef PyObject *item
    for i in range(n):
        item = PyList_GET_ITEM(items, i)
        if Py_TYPE(item) != <PyTypeObject *>ObjectRef:
            _unmark(self, items, i)
            raise TypeError(f"wait() takes a list of ObjectRefs; element {i} is of type {type(<object>item).__name__}")
        o = <ObjectRef>item
        l = &self.s.local[o.r.index]
        if o.client is not self or (l.flags & MARKED and _is_before(items, i)):
            _unmark(self, items, i)
            if o.client is not self:
                raise _status.Invalid(f"element {i}: this ObjectRef belongs to an earlier connection")
            raise ValueError(f"wait() takes different ObjectRefs; element {i}, {o!r}, is there twice")
        l.flags |= MARKED
        if not l.flags & SH_LOCAL_CLOSED:
            if l.waiter or not sh_entry_is_closed(sh_entry_at(&self.s.seg, o.r.index), o.r.generation):
                continue
            _mark_resolved(self, l)
        ready += 1
        if l.waiter < first[0]:
            first[0] = l.waiter
    return ready


cdef bint _is_before(list items, Py_ssize_t at) noexcept:
    # Whether an earlier item is the same object: a mark may also be that of another thread's wait, if Python's collector ran in it.
    cdef uint32_t index = (<ObjectRef>PyList_GET_ITEM(items, at)).r.index
    cdef Py_ssize_t i
    for i in range(at):
        if (<ObjectRef>PyList_GET_ITEM(items, i)).r.index == index:
            return True
    return False


cdef void _unmark(Client self, list items, Py_ssize_t n) noexcept:
    cdef Py_ssize_t i
    for i in range(n):
        self.s.local[(<ObjectRef>PyList_GET_ITEM(items, i)).r.index].flags &= ~<uint32_t>MARKED


cdef inline void _mark_resolved(Client self, sh_local *l) noexcept:
    l.flags |= SH_LOCAL_CLOSED
    self.resolved_seq += 1
    l.waiter = self.resolved_seq  # when it was seen resolved: early finishers come first


cdef Py_ssize_t _count_ready(Client self, list items, Py_ssize_t n, uint32_t *first) noexcept:
    cdef Py_ssize_t i, ready = 0
    cdef sh_local *l
    for i in range(n):
        l = &self.s.local[(<ObjectRef>PyList_GET_ITEM(items, i)).r.index]
        if l.flags & SH_LOCAL_CLOSED:
            ready += 1
            if l.waiter < first[0]:
                first[0] = l.waiter
    return ready


cdef tuple _split(Client self, list items, Py_ssize_t n, Py_ssize_t n_done, uint32_t last):
    # Taken are those that resolved up to `last`, in the order of the list. Unmarks.
    cdef list done = [], rest = PyList_New(n - n_done)
    cdef Py_ssize_t i, at = 0, taken = 0
    cdef PyObject *item
    cdef sh_local *l
    for i in range(n):
        item = PyList_GET_ITEM(items, i)
        l = &self.s.local[(<ObjectRef>item).r.index]
        l.flags &= ~<uint32_t>MARKED
        if taken < n_done and l.flags & SH_LOCAL_CLOSED and l.waiter <= last:
            done.append(<object>item)
            taken += 1
        else:
            Py_INCREF(<object>item)
            PyList_SET_ITEM(rest, at, item)
            at += 1
    return done, rest


cdef uint32_t _nth_resolved(Client self, list items, Py_ssize_t n, Py_ssize_t nth):
    # The order number of the nth item that resolved.
    cdef Py_ssize_t i
    cdef sh_local *l
    cdef list order = []
    for i in range(n):
        l = &self.s.local[(<ObjectRef>PyList_GET_ITEM(items, i)).r.index]
        if l.flags & SH_LOCAL_CLOSED:
            order.append(l.waiter)
    order.sort()
    return order[nth - 1]


cdef void _on_fired(void *context, sh_ref r) noexcept:
    cdef Client client = <Client>context
    cdef sh_local *l = &client.s.local[r.index]
    _mark_resolved(client, l)
    if l.flags & SH_LOCAL_WATCHED:
        l.flags &= ~<uint32_t>SH_LOCAL_WATCHED
        sh_ref_again(&client.s, r)
        client.watched.append(_wrap(client, r))

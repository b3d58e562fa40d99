# SPDX-License-Identifier: Apache-2.0
# Streams (node/stream.h): the consumer's ObjectRefGenerator; and the items that a task delivers.

from collections import deque as _deque

RETURNS_DYNAMIC = 0xFFFFFFFE
RETURNS_STREAM = 0xFFFFFFFF

cdef uint32_t _RETURNS_DYNAMIC = 0xFFFFFFFE, _RETURNS_STREAM = 0xFFFFFFFF


cdef class ObjectRefGenerator:
    """The results of a generator that runs as a task or an actor's method: refs, one by one as they are yielded.

    `for ref in stream`, `next(stream)`, or `async for ref in stream`: each waits for the next item and gives its ref,
    which is resolved. An error of the generator, or the death of its process, is one more ref, the last one, that
    raises it. It belongs to the process that made the call."""
    # Not final, as ObjectRef.
    cdef Client client
    cdef ObjectRef done
    cdef ObjectRef cell  # the item that comes next; None: the end was seen
    cdef object __weakref__

    def __init__(self):
        raise TypeError("an ObjectRefGenerator is made by .remote() of a generator, not by its class")

    def __iter__(self):
        return self

    def __next__(self):
        cdef ObjectRef cell, item
        while self.cell is not None:
            self.client.check()
            cell = self.cell
            if not sh_entry_is_closed(sh_entry_at(&self.client.s.seg, cell.r.index), cell.r.generation):
                _await(self.client, cell.r, SH_NO_DEADLINE, None, NULL)
            item = self._take(cell)
            if item is not None:
                return item
        raise StopIteration

    def __aiter__(self):
        return self

    def __anext__(self):
        if self.done is None:
            raise StopAsyncIteration  # it came out of `ObjectRefGenerator.__new__`
        return self.client.next_hook(self)

    @cython.final
    cdef ObjectRef _take(self, ObjectRef cell):
        # None: another thread was faster, or there is no more.
        cdef sh_ref next
        cdef sh_status status
        if self.cell is not cell:
            return None
        status = sh_stream_take(&self.client.s, cell.r, &next)
        if status == SH_OK:
            self.cell = _wrap(self.client, next)
            return cell
        self.cell = None
        return None if status == SH_EMPTY else cell

    def pending(self):
        """For the front end: what `next` waits for, an item that is nobody's yet; None when it is over."""
        return self.cell

    def take(self, ObjectRef cell not None):
        """For the front end: take the pending `cell`, which is resolved. None: it is the end, or was taken meanwhile."""
        self.client.check()
        return self._take(cell)

    def completed(self):
        """A ref that is resolved when the task has ended: to None, or to its error."""
        return self.done

    def next_ready(self) -> bool:
        """Would `next` give an item without waiting? False if it would raise StopIteration: see `is_finished`."""
        if self.client is None:
            return False
        self.client.check()
        return self.cell is not None and self.client.is_resolved(self.cell) and not _is_end(self.client, self.cell)

    def is_finished(self) -> bool:
        """Has the generator ended, and was every item taken?"""
        if self.cell is None:
            return True
        self.client.check()
        return self.client.is_resolved(self.cell) and _is_end(self.client, self.cell)

    def close(self) -> None:
        """Take no more: what a drop of the generator does, now. Iterating it ends from here on."""
        self.cell = None
        if self.client is not None and not self.client.closed and not self.client.s.forked:
            self.client.check()  # which lets go of it now

    def __reduce__(self):
        raise TypeError(
            "an ObjectRefGenerator has one consumer, the process that made the call, and cannot be passed on or stored: "
            "pass the refs that it yields, or have the other task or actor make the call")

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self

    def __repr__(self):
        if self.client is None or not self.client.s.open or self.client.s.forked:
            return "ObjectRefGenerator(closed)"
        return f"ObjectRefGenerator({self.done.hex()})"

    __class_getitem__ = classmethod(GenericAlias)


cdef inline bint _is_end(Client client, ObjectRef cell) noexcept:
    return (sh_load_relaxed(&sh_entry_at(&client.s.seg, cell.r.index).size_flags) & SH_VALUE_END) != 0


cdef ObjectRefGenerator _stream_of(Client client, sh_ref *returns):
    cdef ObjectRefGenerator stream = ObjectRefGenerator.__new__(ObjectRefGenerator)
    stream.client = client
    stream.done = _wrap(client, returns[SH_STREAM_DONE])
    stream.cell = _made(client, returns[SH_STREAM_TAIL])
    return stream


cdef uint32_t _kind_of_returns(uint32_t flags) noexcept:
    return _RETURNS_STREAM if flags & SH_SLOT_STREAM else _RETURNS_DYNAMIC


cdef bint _deliver(Client client, Task task, object value) except -1:
    # One item. False: nobody wants more. The value is pickled first: what Python code does meanwhile finds the core at rest.
    cdef Encoded e
    cdef sh_ref permit, tail
    cdef uint8_t *data
    cdef sh_status status
    cdef uint64_t until = 0, n_bytes = sizeof(sh_entry)
    cdef list rows
    client.check()
    if task.over or task.num_returns != _RETURNS_STREAM:
        raise _status.Invalid("this task delivers no items, or is over")
    if not sh_stream_is_wanted(&client.s, task.slot):
        return False
    rows = []
    e = _encode(client, value, rows)
    client.check()
    permit.generation = 0
    status = sh_stream_begin(&client.s, task.slot, &permit)
    while status == SH_FULL and _wait_for_room(client, n_bytes, &until):
        status = sh_stream_begin(&client.s, task.slot, &permit)
    if status == SH_OK:
        if permit.generation:
            _keep_permit(client, task, permit)
        n_bytes = e.total
        tail = sh_slot_return(&client.s.seg, sh_slot_at(&client.s.seg, task.slot), SH_STREAM_TAIL)
        status = sh_fill(&client.s, tail, e.total, SH_VALUE_HAS_REFS if rows else 0, &data)
        while status == SH_FULL and _wait_for_room(client, e.total, &until):
            status = sh_fill(&client.s, tail, e.total, SH_VALUE_HAS_REFS if rows else 0, &data)
    if until:
        _got_room(client)
    if status == SH_EMPTY or status == SH_LOST:
        return False
    if status == SH_INVALID:
        raise OverflowError("a stream has at most 268,435,455 items")
    if status != SH_OK:
        _raise_full(client, status, n_bytes, f"no room for an item of {e.total} bytes")
    if e.total > 32768 and client.protected:
        client._unprotect(data, e.total)
    _write(client, e, data)
    if rows:
        sh_log_append(&client.s, SH_LOG_CONTAINS, tail)
    sh_stream_seal(&client.s, task.slot)
    return True


cdef int _keep_permit(Client client, Task task, sh_ref permit) except -1:
    # One that was made before, for an item that then found no room, is in the list already.
    cdef ObjectRef last
    if task.permits is None:
        task.permits = _deque()
    elif task.permits:
        last = <ObjectRef>task.permits[len(task.permits) - 1]
        if last.r.index == permit.index and last.r.generation == permit.generation:
            return 0
    task.permits.append(_wrap(client, permit))
    return 0


cdef ObjectRef _oldest_permit(Client client, Task task):
    # What the next item has to wait for, or None.
    cdef ObjectRef oldest
    if task.permits is None:
        return None
    while task.permits:
        oldest = <ObjectRef>task.permits[0]
        if not sh_entry_is_closed(sh_entry_at(&client.s.seg, oldest.r.index), oldest.r.generation):
            return oldest if <uint32_t>len(task.permits) >= sh_slot_at(&client.s.seg, task.slot).ahead else None
        task.permits.popleft()
    return None


cdef int _no_more_items(Client client, Task task) except -1:
    # Before the task ends: who takes an item later closes nothing any more.
    cdef ObjectRef permit
    sh_stream_withdraw(&client.s, task.slot)
    while task.permits:
        permit = <ObjectRef>task.permits.popleft()
        sh_seal(&client.s, permit.r)
    return 0


cdef object _end_stream(Client client, Task task):
    cdef Encoded e
    cdef uint8_t *data
    cdef sh_ref done
    client.check()
    if task.over or task.num_returns != _RETURNS_STREAM:
        raise _status.Invalid("this task delivers no items, or is over")
    e = _encode(client, None)
    _no_more_items(client, task)
    done = sh_slot_return(&client.s.seg, sh_slot_at(&client.s.seg, task.slot), SH_STREAM_DONE)
    if sh_fill(&client.s, done, e.total, 0, &data) == SH_OK:  # it fits into its entry
        _write(client, e, data)
    sh_stream_fill_end(&client.s, task.slot)
    return _commit(client, task)

# SPDX-License-Identifier: Apache-2.0
# Calls that an earlier attempt of the task has made (node/children.h).

@cython.final
cdef class Earlier:
    """A call that an earlier attempt made: what is left of it."""
    cdef uint64_t fn_lo, digest, producer
    cdef uint32_t class_id, class_generation, flags
    cdef dict refs  # its returns, by number


cdef dict _earlier_of(Client client, Task task):
    # Asked for once, at the attempt's first call. A later call of a place goes before an earlier one; returns of two are not mixed.
    cdef dict found = {}
    cdef Earlier call
    cdef ObjectRef ref
    cdef uint64_t producer
    for index, generation, counter, fn_lo, class_id, class_generation, flags, number, digest in client.earlier_calls.children(
            task.slot, task.parent >> 32):
        ref = client.adopt(index, generation)
        producer = sh_load_relaxed(&sh_entry_at(&client.s.seg, ref.r.index).producer)
        call = found.get(counter)
        if call is None or call.producer != producer:
            call = Earlier.__new__(Earlier)
            call.fn_lo, call.digest, call.producer = fn_lo, digest, producer
            call.class_id, call.class_generation, call.flags, call.refs = class_id, class_generation, flags, {}
            found[counter] = call
        call.refs[number] = ref
    return found


cdef void _let_children_go(Client client, Task task) noexcept:
    # Now, and not when the Task goes, which the traceback of an error may keep.
    task.earlier = None
    if client.s.n_kept:
        sh_children_end(&client.s, task.parent)


cdef Earlier _earlier_here(Client client, Task task):
    if task.earlier is None:
        task.closing = True  # not to be interrupted: what the daemon has counted for us would stay counted. It is told again
        try:
            task.earlier = _earlier_of(client, task)
        finally:
            task.closing = False
    return task.earlier.get(sh_context.counter)


cdef uint64_t _digest(Client client, const sh_call *call, Encoded e):
    cdef uint32_t i, n_deps = 0 if e is None else e.n_deps
    cdef uint64_t digest = sh_digest_begin(call.flags, call.n_returns, n_deps)
    cdef sh_entry *entry
    cdef sh_id128 id
    for i in range(n_deps):
        entry = sh_entry_at(&client.s.seg, (<ObjectRef>e.rows[i]).r.index)
        id.lo, id.hi = entry.id_lo, entry.id_hi
        digest = sh_digest_add(digest, id, entry.number)
    return digest


cdef bint _lives(Client client, Earlier call):
    # The actor that was called, or created. Numbers of classes are used again.
    cdef uint64_t word = sh_load_acquire(&sh_class_at(&client.s.seg, call.class_id).word)
    return sh_word_state(word) == SH_CLASS_LIVE and sh_word_generation(word) == call.class_generation


cdef bint _is_open(Client client, uint32_t class_id):
    return sh_word_state(sh_load_acquire(&sh_class_at(&client.s.seg, class_id).word)) == SH_CLASS_LIVE


cdef tuple _name_of(const sh_call *call):
    return call.fn_lo, <int>call.class_id if call.flags & SH_SLOT_ACTOR_CALL else -1


cdef tuple _earlier_name(Client client, Earlier call):
    return call.fn_lo, <int>call.class_id if call.flags & SH_SLOT_ACTOR_CALL and _lives(client, call) else -1


cdef bint _is_worth_another(Client client, Earlier call):
    # The attempt ended in an exception: what failed may not fail again. What a method raised, it raised after it had run.
    cdef sh_entry *entry
    cdef const uint8_t *data
    for ref in call.refs.values():
        entry = sh_entry_at(&client.s.seg, (<ObjectRef>ref).r.index)
        if not sh_entry_is_closed(entry, (<ObjectRef>ref).r.generation) \
                or not sh_load_relaxed(&entry.size_flags) & SH_VALUE_ERROR:
            continue
        data = sh_entry_bytes(&client.s.seg, entry)
        if not call.flags & SH_SLOT_ACTOR_CALL or (data != NULL and (<const sh_payload *>data).flags & SH_PAYLOAD_SYSTEM_ERROR):
            return True
    return False


cdef int _note_made_anew(Client client, Task task, uint32_t class_id) except -1:
    if task.actors_anew is None:
        task.actors_anew = {}
    task.actors_anew[class_id] = sh_word_generation(sh_load_acquire(&sh_class_at(&client.s.seg, class_id).word))
    return 0


cdef bint _is_made_anew(Client client, Task task, uint32_t class_id) except -1:
    # Numbers of classes are used again: this one may be of an actor that somebody else made since.
    if task.actors_anew is None:
        return False
    return task.actors_anew.get(class_id) == sh_word_generation(sh_load_acquire(&sh_class_at(&client.s.seg, class_id).word))


cdef object _adopt(CallTemplate t, Encoded e):
    """The result of the call that is about to be made, if an earlier attempt made it; NotImplemented: make it."""
    cdef Client client = t.client
    cdef Task task = <Task>sh_context.task
    cdef sh_slot *parent = sh_slot_at(&client.s.seg, task.slot)
    cdef Earlier call = _earlier_here(client, task)
    cdef bint is_actor_call = (t.call.flags & SH_SLOT_ACTOR_CALL) != 0
    cdef bint is_of_new_actor = is_actor_call and _is_made_anew(client, task, t.call.class_id)
    if t.call.flags & SH_SLOT_CREATES_ACTOR:
        _note_made_anew(client, task, t.call.class_id)
    if call is None:
        if not is_actor_call or is_of_new_actor or t.call.flags & SH_SLOT_CREATES_ACTOR \
                or sh_context.counter >= sh_made_below(parent):
            return NotImplemented
        if t.call.max_retries:
            return NotImplemented  # its caller has said that it may be repeated
        return _take_over(t, {})
    if call.digest != _digest(client, &t.call, e) or (call.fn_lo != t.call.fn_lo and not client.earlier_calls.is_same(
            _earlier_name(client, call), _name_of(&t.call))):
        raise _diverged(t, call)
    if t.call.flags & SH_SLOT_CREATES_ACTOR:  # what could be adopted has been
        if _lives(client, call) and not client.earlier_calls.is_same(_earlier_name(client, call), _name_of(&t.call)):
            raise _diverged(t, call)
        return NotImplemented
    if is_of_new_actor or (is_actor_call and not _lives(client, call) and _is_open(client, t.call.class_id)):
        return NotImplemented  # the actor of then is gone, or about to go, and this is another one in its place
    if is_actor_call and call.class_id != t.call.class_id:
        raise _diverged(t, call)
    if (not is_actor_call or t.call.max_retries) and (len(call.refs) != <Py_ssize_t>t.call.n_returns or t.call.flags & SH_SLOT_STREAM):
        return NotImplemented
    if sh_load32_relaxed(&parent.x_made) & SH_MADE_FAILED and _is_worth_another(client, call):
        return NotImplemented
    return _take_over(t, call.refs)


cdef object _diverged(CallTemplate t, Earlier call):
    return t.client.earlier_calls.diverged(sh_context.counter + 1, _earlier_name(t.client, call), _name_of(&t.call))


cdef object _take_over(CallTemplate t, dict refs):
    # What is gone of the returns of an actor's call is an error: the call is not made again.
    cdef sh_id128 id = sh_id_child(sh_context.task_id, sh_context.counter)
    cdef uint32_t i
    if t.call.flags & SH_SLOT_STREAM:
        raise t.client.earlier_calls.lost_stream(_name_of(&t.call))
    out = []
    for i in range(t.call.n_returns):
        ref = refs.get(i)
        out.append(ref if ref is not None else _gone(t, id, i))
    sh_context.counter += 1
    return None if t.call.n_returns == 0 else out[0] if t.call.n_returns == 1 else out


cdef ObjectRef _gone(CallTemplate t, sh_id128 id, uint32_t number):
    cdef Client client = t.client
    cdef Encoded e = _encode_error(client.earlier_calls.gone(_name_of(&t.call)), [])
    cdef sh_put p
    cdef sh_status status = sh_put_begin(&client.s, e.total, &p)
    cdef uint64_t until = 0
    while status == SH_FULL and _wait_for_room(client, e.total, &until):
        status = sh_put_begin(&client.s, e.total, &p)
    if until:
        _got_room(client)
    if status != SH_OK:
        _raise_full(client, status, e.total, f"no room for an object of {e.total} bytes")
    _write(client, e, p.data)
    sh_put_commit_as(&client.s, &p, SH_VALUE_ERROR, id, number)
    sh_tell_of_error(&client.s.seg)
    return _wrap(client, p.ref)


def pass_call() -> None:
    sh_context.counter += 1


def earlier_actor(Client client not None, tuple args not None, dict kwargs not None) -> tuple:
    # Before the node is asked for an actor: did an earlier attempt create one here that lives?
    cdef sh_call shape
    cdef Earlier call
    if not sh_context.adopts or sh_context.client != client.serial:
        return None
    client.check_alive()
    memset(&shape, 0, sizeof(sh_call))
    shape.n_returns = 1
    shape.flags = SH_SLOT_ACTOR_CALL | SH_SLOT_CREATES_ACTOR
    call = _earlier_here(client, <Task>sh_context.task)
    if call is None or not call.flags & SH_SLOT_CREATES_ACTOR or not _lives(client, call) \
            or call.digest != _digest(client, &shape, _encode_call(client, args, kwargs)):
        return None
    for ref in call.refs.values():
        return call.class_id, ref
    return None

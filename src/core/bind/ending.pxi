# SPDX-License-Identifier: Apache-2.0
# Claimed tasks that end without a value of their own: interrupted, given to the daemon, repeated, put back.

cdef object _interrupt(Client client):
    # The handler of the signal that says: look. Only what this thread runs now counts, and not its error path.
    cdef Task task
    cdef uint64_t now_ns
    if sh_context.client != client.serial or sh_context.task == NULL or client.closed or client.s.forked:
        return
    task = <Task>sh_context.task
    if task.over or task.closing or not sh_is_ending(&client.s, task.slot):
        return
    now_ns = sh_os_now_ns()
    if task.interrupted_ns and now_ns - task.interrupted_ns < INTERRUPT_AGAIN_NS:
        return
    task.interrupted_ns = now_ns
    raise KeyboardInterrupt("the task was cancelled, or has run for longer than its timeout")


cdef bint _surrender(Client client, Task task) except -1:
    client.check()
    task.closing = True
    if not task.over and task.num_returns == _RETURNS_STREAM:
        _no_more_items(client, task)
    if not task.over and task.parent and _is_repeated_when_overdue(client, task):
        _hand_over(client, task)
    if not task.over and sh_surrender(&client.s, task.slot):
        task.over = True
        _let_children_go(client, task)
        if client.trace != NULL:
            _trace_ran(client, task, SH_TRACE_CANCELLED)
    return task.over


cdef void _hand_over(Client client, Task task) noexcept:
    # One that has called nothing has nothing to look for.
    cdef uint32_t n_calls = sh_context.counter if sh_context.task == <void *>task else task.counter
    sh_children_hand_over(&client.s, task.slot, n_calls != 0, True)


cdef bint _is_repeated_when_overdue(Client client, Task task):
    cdef sh_slot *t = sh_slot_at(&client.s.seg, task.slot)
    return (t.flags & SH_SLOT_RETRY_OVERDUE) != 0 and sh_word_state(sh_load_relaxed(&t.word)) == SH_TASK_OVERDUE


cdef bint _put_back(Client client, Task task) except -1:
    client.check()
    if task.over:
        return False
    task.over = task.closing = True
    sh_self_leave(&client.s)  # first: who offers it again must not be the one to take it
    sh_unclaim(&client.s, task.slot)
    sh_surrender(&client.s, task.slot)  # cancelled meanwhile: it is the daemon's
    return True


cdef bint _retry(Client client, Task task) except -1:
    cdef bint again
    client.check()
    task.closing = True
    if task.over or not sh_may_retry(&client.s, task.slot):
        return False
    if task.num_returns == _RETURNS_STREAM:
        _no_more_items(client, task)
    task.over = True  # if not put back, then it was to be ended
    if client.trace != NULL:
        _trace_ran(client, task, SH_TRACE_RETRIED)
    _hand_over(client, task)
    again = sh_retry(&client.s, task.slot)
    _let_children_go(client, task)
    return again


cdef bint _repeat_here(Client client, Task task) except -1:
    # As _retry, for a call of an actor, but this thread makes the next attempt, as the same Task.
    client.check()
    if task.over or task.num_returns == _RETURNS_STREAM or not sh_may_retry(&client.s, task.slot):
        return False
    task.closing = True
    if client.trace != NULL:
        _trace_ran(client, task, SH_TRACE_RETRIED)
    _hand_over(client, task)
    if not sh_repeat_here(&client.s, task.slot):
        task.over = True
        _let_children_go(client, task)
        return False
    task.earlier = None
    task.attempt = sh_load32_relaxed(&sh_slot_at(&client.s.seg, task.slot).x_attempt)
    task.counter = task.put_counter = 0
    if sh_context.task == <void *>task:  # whose counters are put into the Task when it is left
        sh_context.counter = sh_context.put_counter = 0
    task.closing = task.told = task.raised = False
    task.claimed_ns = sh_os_now_ns() if client.trace != NULL else 0
    task.loaded_ns = task.ran_ns = 0
    return True

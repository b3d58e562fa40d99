# SPDX-License-Identifier: Apache-2.0
# Trace: events of this process, if its node traces. Where it does not, a call pays for one look at `client.trace`.

cdef extern from "bind/trace.h" nogil:
    enum: SH_TRACE_RAN, SH_TRACE_SUBMITTED, SH_TRACE_SPAN, SH_TRACE_NAME_BYTES
    enum: SH_TRACE_RETURNED, SH_TRACE_RAISED, SH_TRACE_CANCELLED, SH_TRACE_RETRIED
    ctypedef struct sh_trace_event:
        uint32_t kind, end, class_id, attempt
        sh_id128 task, function
        uint64_t at_ns[4]
        uint64_t thread
        char name[40]
    sh_trace_head *sh_trace_begin(void *bytes, uint64_t n_bytes)
    void sh_trace_add(sh_trace_head *head, const sh_trace_event *event)

TRACE_RAN = SH_TRACE_RAN
TRACE_SUBMITTED = SH_TRACE_SUBMITTED
TRACE_SPAN = SH_TRACE_SPAN
TRACE_RETURNED = SH_TRACE_RETURNED
TRACE_RAISED = SH_TRACE_RAISED
TRACE_CANCELLED = SH_TRACE_CANCELLED
TRACE_RETRIED = SH_TRACE_RETRIED


cdef void _trace_submitted(Client client, uint32_t slot) noexcept:
    cdef sh_trace_event event
    cdef sh_slot *t = sh_slot_at(&client.s.seg, slot)
    memset(&event, 0, sizeof(event))
    event.kind = SH_TRACE_SUBMITTED
    event.class_id = sh_load32_relaxed(&t.x_class)
    event.task.lo, event.task.hi = t.id_lo, t.id_hi
    event.function.lo, event.function.hi = t.fn_lo, t.fn_hi
    event.at_ns[0] = sh_os_now_ns()
    event.thread = _thread.get_ident()
    sh_trace_add(client.trace, &event)


cdef void _trace_ran(Client client, Task task, uint32_t end) noexcept:
    cdef sh_trace_event event
    memset(&event, 0, sizeof(event))
    event.kind = SH_TRACE_RAN
    event.end = end
    event.class_id = task.class_id
    event.attempt = task.attempt
    event.task = task.task_id
    memcpy(&event.function, PyBytes_AS_STRING(task.key), 16)
    event.at_ns[0] = task.claimed_ns
    event.at_ns[1] = task.loaded_ns
    event.at_ns[2] = task.ran_ns
    event.at_ns[3] = sh_os_now_ns()
    event.thread = _thread.get_ident()
    sh_trace_add(client.trace, &event)


def is_tracing(Client client not None) -> bool:
    return client.trace != NULL


def trace_span(Client client not None, bytes name not None, uint64_t begin_ns, uint64_t end_ns) -> None:
    cdef sh_trace_event event
    cdef size_t n = <size_t>len(name)
    if client.closed or client.s.forked or client.trace == NULL:
        return
    memset(&event, 0, sizeof(event))
    event.kind = SH_TRACE_SPAN
    if sh_context.client == client.serial:
        event.task = sh_context.task_id
    event.at_ns[0] = begin_ns
    event.at_ns[1] = end_ns
    event.thread = _thread.get_ident()
    memcpy(event.name, PyBytes_AS_STRING(name), n if n < SH_TRACE_NAME_BYTES else SH_TRACE_NAME_BYTES)
    sh_trace_add(client.trace, &event)


def start_trace(Client client not None, object mapping) -> None:
    cdef Py_buffer view
    client.check()
    if client.trace != NULL:
        raise _status.Invalid("this client traces already")
    PyObject_GetBuffer(mapping, &view, PyBUF_WRITABLE)
    client.trace = sh_trace_begin(view.buf, <uint64_t>view.len)
    client.trace_mapping = mapping  # held as long as the client: it is never unmapped under a call
    PyBuffer_Release(&view)
    if client.trace == NULL:
        raise _status.Invalid("there is no room for one event")

# SPDX-License-Identifier: Apache-2.0
# Values to payloads and back (store/payload.h).

cdef enum:
    ALIGN = 64
    FLAG_RAW_BYTES = 16
    FLAG_ARRAY = 32
    CALL_ARGS = 0
    CALL_KWARGS = 1
    CALL_DEPS = 2

cdef extern from "<string.h>" nogil:
    void *memmem(const void *data, size_t n, const void *part, size_t n_part)

cdef extern from "Python.h":
    long PyLong_AsLongAndOverflow(object number, int *overflow) except? -1

# What calls return most, pickled once.
cdef bytes _PICKLED_NONE = _dumps(None, 5), _PICKLED_TRUE = _dumps(True, 5), _PICKLED_FALSE = _dumps(False, 5)
cdef list _PICKLED_BYTES = [_dumps(i, 5) for i in range(256)]

cdef object _dumps_value = _dumps


def use_dumps(dumps) -> None:
    """Pickle values by this function, which takes what `pickle.dumps` takes; None: by that one again."""
    global _dumps_value
    _dumps_value = _dumps if dumps is None else dumps


@cython.final
@cython.freelist(64)
cdef class Encoded:
    """A value on its way into the segment: everything measured, nothing allocated there yet."""
    cdef bytes inband
    cdef list rows          # ObjectRefs, dependencies first
    cdef list buffers       # PickleBuffers' raw views
    cdef const char *raw    # instead of inband: memory kept alive by `owner`
    cdef object owner
    cdef uint64_t inband_bytes, total
    cdef uint16_t flags
    cdef uint32_t shape, n_deps  # of a call


cdef inline uint64_t _aligned(uint64_t n):
    return (n + ALIGN - 1) & ~<uint64_t>(ALIGN - 1)


cdef bint _names_main(bytes data):
    # The C pickler writes classes and functions of __main__ by name; no other process has that module. Not `in`, which
    # first makes and drops a TypeError because the part is no number: 6 % of a worker's time.
    return memmem(PyBytes_AS_STRING(data), <size_t>PyBytes_GET_SIZE(data), b"__main__", 8) != NULL


cdef bint _is_plain(object value):
    kind = type(value)
    return kind is int or kind is float or kind is bool or value is None or (kind is str and len(<str>value) < 65536)


# How far arrays that numpy would copy into the pickle are searched for: the arguments of a call, and containers in them.
cdef enum:
    SEARCH_DEPTH = 3
    SEARCH_PARTS = 1000  # of one value: beyond that pickling takes so long that a copy more is little


cdef bint _is_kept_inside(object array) except -1:
    # What numpy asks before it hands a buffer out: is it one piece, and is there a word for its type?
    cdef Py_buffer view
    try:
        PyObject_GetBuffer(array, &view, PyBUF_FULL_RO | PyBUF_ANY_CONTIGUOUS)
    except (ValueError, BufferError):
        return True
    PyBuffer_Release(&view)
    return False


cdef inline bint _is_array(PyTypeObject *kind):
    return kind.tp_name[0] == 110 and strcmp(kind.tp_name, "numpy.ndarray") == 0


cdef inline bint _is_searched(PyTypeObject *kind):
    return kind == <PyTypeObject *>list or kind == <PyTypeObject *>tuple or kind == <PyTypeObject *>dict


cdef bint _search(object container, int depth, int *parts) except -1:
    cdef Py_ssize_t i = 0
    cdef PyObject *part = NULL
    cdef PyTypeObject *kind = Py_TYPE(<PyObject *>container)
    cdef PyTypeObject *kind_of_part
    cdef PyTypeObject *leaf = NULL  # what the parts before this one were: most lists hold things of one kind
    while depth > 0 and parts[0] > 0:
        if kind == <PyTypeObject *>dict:
            if not PyDict_Next(container, &i, NULL, &part):
                break
        elif kind == <PyTypeObject *>list:
            if i >= PyList_GET_SIZE(container):
                break
            part = PyList_GET_ITEM(container, i)
            i += 1
        else:
            if i >= PyTuple_GET_SIZE(container):
                break
            part = PyTuple_GET_ITEM(container, i)
            i += 1
        parts[0] -= 1
        kind_of_part = Py_TYPE(part)
        if kind_of_part == leaf:
            continue
        if _is_array(kind_of_part):
            if _is_kept_inside(<object>part):
                return True
        elif not _is_searched(kind_of_part):
            leaf = kind_of_part
        elif _search(<object>part, depth - 1, parts):
            return True
    return False


cdef bint _has_array_kept_inside(object value) except -1:
    cdef int parts = SEARCH_PARTS
    cdef PyTypeObject *kind = Py_TYPE(<PyObject *>value)
    if _is_array(kind):
        return _is_kept_inside(value)
    return _is_searched(kind) and _search(value, SEARCH_DEPTH, &parts)


def has_array_kept_inside(value: object) -> bool:
    """Whether there is an array in `value` that numpy would copy into the pickle: one with gaps, or of dates.

    Looks into lists, tuples and dicts, three deep, and at 1,000 parts at most.
    """
    return _has_array_kept_inside(value)


cdef bytes _dumps_plain(object value):
    cdef int overflow = 0
    cdef long number
    if value is None:
        return _PICKLED_NONE
    if type(value) is int:
        number = PyLong_AsLongAndOverflow(value, &overflow)
        if overflow == 0 and 0 <= number < 256:
            return <bytes>_PICKLED_BYTES[number]
    elif value is True:
        return _PICKLED_TRUE
    elif value is False:
        return _PICKLED_FALSE
    return _dumps(value, 5)


cdef void _measure(Encoded e) except *:
    cdef uint64_t at = sizeof(sh_payload) + len(e.rows) * sizeof(sh_row) + len(e.buffers) * sizeof(sh_extent) + e.inband_bytes
    for view in e.buffers:
        at = _aligned(at) + <uint64_t>view.nbytes
    e.total = at


cdef list _NOTHING = []  # the rows and buffers of what has none; nobody adds to it


cdef int _check_rows(Client client, list rows, Py_ssize_t first) except -1:
    # A payload names refs by the places of their entries, where this connection has other objects than an earlier one had.
    cdef Py_ssize_t i
    for i in range(first, PyList_GET_SIZE(rows)):
        if (<ObjectRef>PyList_GET_ITEM(rows, i)).client is not client:
            raise _status.Invalid("there is a ref, or the handle of an actor, in this value that belongs to an earlier connection")
    return 0


cdef Encoded _encode(Client client, object value, list rows=None):
    # `rows`: a list of the caller's, with the first of them.
    cdef Encoded e = Encoded.__new__(Encoded)
    cdef void *before
    cdef Py_ssize_t n_before
    e.rows = _NOTHING if rows is None else rows
    e.buffers = _NOTHING
    if type(value) is bytes:
        e.owner = value
        e.raw = PyBytes_AS_STRING(value)
        e.inband_bytes = <uint64_t>PyBytes_GET_SIZE(value)
        e.flags = FLAG_RAW_BYTES
    else:
        if _is_plain(value):
            e.inband = _dumps_plain(value)
        else:
            buffers = []
            if rows is None:
                e.rows = rows = []
            e.buffers = []
            n_before = PyList_GET_SIZE(rows)
            before = sh_context.rows
            sh_context.rows = <void *>rows
            try:
                dumps = client.dumps_arrays if _has_array_kept_inside(value) else _dumps_value
                try:
                    e.inband = dumps(value, 5, buffer_callback=buffers.append)
                    error = None
                except (KeyboardInterrupt, SystemExit):
                    raise
                except Exception as exc:
                    error = exc
                if error is not None or _names_main(e.inband):
                    del rows[n_before:]
                    e.inband, buffers = client.encode_fallback(value, error)
            finally:
                sh_context.rows = before
            if PyList_GET_SIZE(rows) > n_before:
                _check_rows(client, rows, n_before)
            for b in buffers:
                e.buffers.append((b if type(b) is _PickleBuffer else _PickleBuffer(b)).raw())
        e.inband_bytes = <uint64_t>len(e.inband)
        e.raw = PyBytes_AS_STRING(e.inband)
    _measure(e)
    return e


cdef Encoded _encode_error(bytes payload, list refs):
    cdef Encoded e = Encoded.__new__(Encoded)
    e.inband = payload
    e.raw = PyBytes_AS_STRING(payload)
    e.inband_bytes = <uint64_t>len(payload)
    e.rows = refs
    e.buffers = []
    e.flags = SH_PAYLOAD_ERROR
    _measure(e)
    return e


cdef int _write(Client client, Encoded e, uint8_t *to) except -1:
    cdef sh_payload *p = <sh_payload *>to
    cdef sh_row *row = <sh_row *>(to + sizeof(sh_payload))
    cdef sh_entry *entry
    cdef ObjectRef ref
    cdef sh_extent *extent
    cdef uint64_t at
    cdef Py_buffer view
    p.version = SH_PAYLOAD_VERSION
    p.py_minor = <uint8_t>_PY_MINOR
    p.flags = e.flags
    p.n_rows = <uint32_t>len(e.rows)
    p.n_extents = <uint32_t>len(e.buffers)
    p.spare = e.shape
    p.inband_bytes = e.inband_bytes
    p.digest = 0
    for item in e.rows:
        ref = <ObjectRef>item
        sh_ref_share(&client.s, ref.r)
        entry = sh_entry_at(&client.s.seg, ref.r.index)
        row.id_lo = entry.id_lo
        row.id_hi = entry.id_hi
        row.number = entry.number
        row.owner_node = client.s.seg.fixed.node_number
        row.index = ref.r.index
        row.generation = ref.r.generation
        row += 1
    extent = <sh_extent *>row
    at = sizeof(sh_payload) + p.n_rows * sizeof(sh_row) + p.n_extents * sizeof(sh_extent)
    _copy_in(client, to + at, e.raw, e.inband_bytes)
    at += e.inband_bytes
    for item in e.buffers:
        at = _aligned(at)
        PyObject_GetBuffer(item, &view, PyBUF_SIMPLE)
        extent.offset = at
        extent.bytes = <uint64_t>view.len
        _copy_in(client, to + at, <const char *>view.buf, <uint64_t>view.len)
        PyBuffer_Release(&view)
        at += extent.bytes
        extent += 1
    return 0


cdef void _copy_in(Client client, uint8_t *to, const char *frm, uint64_t n) noexcept:
    cdef bint cold
    if n < 65536:
        memcpy(to, frm, n)
        return
    cold = sh_self_first_touch(&client.s, to, n)
    with nogil:
        sh_copy(to, frm, n, sh_os_cores() if n >= SH_COPY_PARALLEL_BYTES else 1, cold)


@cython.final
@cython.no_gc
cdef class Pinned:
    """A read-only view of a sealed object's bytes. Holds the object while anything looks at it."""
    cdef Client client
    cdef sh_ref r
    cdef const uint8_t *data
    cdef Py_ssize_t size

    def __dealloc__(self):
        if self.client is not None:
            sh_unpin(&self.client.s, self.r)
            sh_ref_bury(&self.client.s, self.r)

    def __getbuffer__(self, Py_buffer *view, int flags):
        PyBuffer_FillInfo(view, self, <void *>self.data, self.size, 1, flags)

    def __releasebuffer__(self, Py_buffer *view):
        pass

    def __reduce__(self):
        return bytes, (bytes(self),)


cdef object _pin(Client client, sh_ref r, const uint8_t *data, uint64_t size):
    cdef Pinned pinned = Pinned.__new__(Pinned)
    cdef sh_status status = sh_ref_take(&client.s, r)
    if status != SH_OK:
        _raise(status, "the object is gone")
    sh_pin(&client.s, r)
    pinned.client = client
    pinned.r = r
    # The same offset in the read-only map: a stray write through the view faults instead of changing the object.
    pinned.data = client.s.seg.read_base + (data - client.s.seg.base)
    pinned.size = <Py_ssize_t>size
    return pinned


cdef object _small_constant(const uint8_t *in_, uint64_t n):
    # What most control values are: None, True, False, small ints, as the C pickler writes them in protocol 5.
    if n == 4 and in_[3] == 46:
        if in_[2] == 78:
            return None
        if in_[2] == 136:
            return True
        if in_[2] == 137:
            return False
    elif n == 5 and in_[2] == 75 and in_[4] == 46:
        return <long>in_[3]
    return NotImplemented


cdef object _decode(Client client, const uint8_t *data, uint64_t size, sh_ref owner, bint pinnable, uint32_t n_skip=0):
    cdef const sh_payload *p = <const sh_payload *>data
    cdef uint64_t at
    cdef const sh_extent *extent
    cdef uint32_t i
    cdef void *before
    if data == NULL or size < sizeof(sh_payload) or p.version != SH_PAYLOAD_VERSION:
        _raise(SH_INVALID, "the object's payload is damaged or of another version")
    at = sh_payload_inband_offset(p)
    if at > size or p.inband_bytes > size - at:
        _raise(SH_INVALID, "the object's payload is damaged")
    if p.flags & FLAG_RAW_BYTES:
        return _bytes_out(<const char *>data + at, p.inband_bytes)
    if p.n_rows <= n_skip and p.n_extents == 0:
        constant = _small_constant(data + at, p.inband_bytes)
        if constant is not NotImplemented:
            return constant
        return _loads(PyBytes_FromStringAndSize(<const char *>data + at, <Py_ssize_t>p.inband_bytes))
    rows = _take_rows(client, p, n_skip)
    buffers = []
    extent = sh_payload_extents(p)
    for i in range(p.n_extents):
        if extent[i].offset > size or extent[i].bytes > size - extent[i].offset:
            _raise(SH_INVALID, "the object's payload is damaged")
        if client.copies:
            buffers.append(bytearray((<const char *>data + extent[i].offset)[:extent[i].bytes]))
        elif pinnable:
            buffers.append(_pin(client, owner, data + extent[i].offset, extent[i].bytes))
        else:
            buffers.append(_bytes_out(<const char *>data + extent[i].offset, extent[i].bytes))
    if p.flags & FLAG_ARRAY:
        return _array_of(_loads(PyBytes_FromStringAndSize(<const char *>data + at, <Py_ssize_t>p.inband_bytes)), buffers[0])
    before = sh_context.rows
    sh_context.rows = <void *>rows
    try:
        return _loads(PyBytes_FromStringAndSize(<const char *>data + at, <Py_ssize_t>p.inband_bytes), buffers=buffers)
    finally:
        sh_context.rows = before


cdef list _take_rows(Client client, const sh_payload *p, uint32_t n_skip):
    # The references that a payload names, held from now on. Dependencies, the first n_skip, are handed in as values.
    cdef const sh_row *row = sh_payload_rows(p)
    cdef list rows = []
    cdef uint32_t i
    cdef sh_ref r
    for i in range(p.n_rows):
        if i < n_skip:
            rows.append(None)
            continue
        r.index = row[i].index
        r.generation = row[i].generation
        if sh_ref_take(&client.s, r) != SH_OK:
            _raise(SH_LOST, "an object that this value refers to is gone")
        rows.append(_wrap(client, r))
    return rows


cdef bytes _bytes_out(const char *data, uint64_t n):
    cdef bytes out = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>n)
    cdef char *to = PyBytes_AS_STRING(out)
    if n < SH_COPY_PARALLEL_BYTES:
        memcpy(to, data, n)
    else:
        with nogil:
            sh_copy(to, data, n, sh_os_cores(), False)
    return out


cdef object _array_of(object description, object buffer):
    import numpy
    dtype, shape, order = description
    return numpy.frombuffer(buffer, dtype=dtype).reshape(shape, order=order)

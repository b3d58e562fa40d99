# SPDX-License-Identifier: Apache-2.0
# ObjectRef, and how references pass through pickles.

@cython.no_gc
@cython.freelist(4096)
cdef class ObjectRef:
    """A reference to one object. Made by `.remote()` and `put`. Equal refs name the same object; a ref can be hashed,
    awaited, and passed to tasks and actors."""
    # Not final: another implementation of Client makes refs of its own kind, which have no client here.
    # Not tracked by the garbage collector: a million refs must not slow each collection down. It holds nothing that could
    # refer back to it.
    cdef Client client
    cdef sh_ref r

    def __init__(self):
        raise TypeError("an ObjectRef is made by .remote() or put(), not by its class")

    def __dealloc__(self):
        if self.client is not None:
            sh_ref_bury(&self.client.s, self.r)

    @property
    def index(self):
        return self.r.index

    @property
    def generation(self):
        return self.r.generation

    def binary(self) -> bytes:
        """The ObjectId: 20 bytes = TaskId (16) + little-endian return or put number (4)."""
        cdef uint8_t out[20]
        _object_id(self, out)
        return PyBytes_FromStringAndSize(<char *>out, 20)

    def hex(self) -> str:
        """The ObjectId as 40 hexadecimal digits."""
        return self.binary().hex()

    def task_id(self) -> bytes:
        """The id of the task that returns it, or that put it: the first 16 bytes of the ObjectId."""
        return self.binary()[:16]

    def __hash__(self):
        return <Py_hash_t>((<uint64_t>self.r.index * 0x9E3779B1u) ^ (<uint64_t>self.r.generation << 20)) & 0x7FFFFFFFFFFFFFFF

    def __eq__(self, other):
        if type(other) is not ObjectRef:
            return NotImplemented
        cdef ObjectRef o = <ObjectRef>other
        return o.r.index == self.r.index and o.r.generation == self.r.generation and o.client is self.client

    def __repr__(self):
        if self.client is None or not self.client.s.open or self.client.s.forked:
            return "ObjectRef(closed)"
        return f"ObjectRef({self.hex()})"

    def __reduce__(self):
        if sh_context.rows != NULL:
            rows = <list>sh_context.rows
            rows.append(self)
            return _row_of_payload, (len(rows) - 1,)
        return self.pickled_alone()

    def pickled_alone(self):
        _check_made(self)
        return _imported_ref, (self.client.export_ref(self),)

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self  # immutable, as what it refers to; and a copy by pickle would keep the object until the job ends

    def __await__(self):
        _check_made(self)
        return self.client.await_hook(self)

    def future(self):
        """A `concurrent.futures.Future` of the value or error. It cannot be cancelled."""
        _check_made(self)
        return self.client.future_hook(self)

    __class_getitem__ = classmethod(GenericAlias)


cdef int _check_made(ObjectRef ref) except -1:
    # One that came out of `ObjectRef.__new__` is of no connection.
    if ref.client is None:
        raise _status.Invalid("this ObjectRef names no object: it was not made by .remote() or put()")
    return 0


cdef void _object_id(ObjectRef ref, uint8_t *out) except *:
    _check_made(ref)
    ref.client.check()
    cdef sh_entry *e = sh_entry_at(&ref.client.s.seg, ref.r.index)
    memcpy(out, &e.id_lo, 8)
    memcpy(out + 8, &e.id_hi, 8)
    memcpy(out + 16, &e.number, 4)


cdef inline ObjectRef _wrap(Client client, sh_ref r):
    # The caller has counted the reference (sh_ref_own, sh_ref_take or sh_ref_again).
    cdef ObjectRef ref = ObjectRef.__new__(ObjectRef)
    ref.client = client
    ref.r = r
    return ref


cdef inline ObjectRef _made(Client client, sh_ref r):
    # A new object's.
    cdef ObjectRef ref = _wrap(client, r)
    if client.made_hook is not None:
        client.made_hook(<uint64_t>r.index | (<uint64_t>r.generation << 32))
    return ref


def with_refs(list refs not None, function, *args):
    """Call `function`; while it runs, pickling in this thread names an ObjectRef by its place in `refs`, to which it appends,
    and unpickling finds it there."""
    cdef void *before = sh_context.rows
    sh_context.rows = <void *>refs
    try:
        return function(*args)
    finally:
        sh_context.rows = before


def _row_of_payload(row):
    if sh_context.rows == NULL:
        raise _pickle.UnpicklingError("this pickle belongs to a shoal payload and cannot be read on its own")
    return (<list>sh_context.rows)[row]


def _imported_ref(token):
    client = _latest
    if client is None:
        raise _pickle.UnpicklingError("an ObjectRef was unpickled in a process that is not connected to a shoal node")
    return client.import_ref(token)

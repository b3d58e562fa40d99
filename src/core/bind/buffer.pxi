# SPDX-License-Identifier: Apache-2.0
# Memory of an object that is filled in place before it is sealed.

@cython.final
@cython.no_gc
cdef class Buffer:
    """Memory of an object before it is sealed; afterwards it keeps the object alive for its creator's view."""
    cdef Client client
    cdef sh_put p
    cdef readonly uint64_t nbytes
    cdef readonly bint sealed

    @property
    def view(self):
        """A writable memoryview of the bytes, valid as long as this Buffer."""
        return memoryview(self)

    def __getbuffer__(self, Py_buffer *view, int flags):
        PyBuffer_FillInfo(view, self, self.p.data + PAGE, <Py_ssize_t>self.nbytes, self.sealed, flags)

    def __releasebuffer__(self, Py_buffer *view):
        pass

    def __dealloc__(self):
        if self.client is None or not self.client.s.open or self.client.s.forked:
            return
        if self.sealed:
            sh_unpin(&self.client.s, self.p.ref)
            sh_ref_bury(&self.client.s, self.p.ref)
        else:
            sh_put_abort(&self.client.s, &self.p)


cdef Buffer _create(Client client, uint64_t nbytes):
    cdef Buffer b = Buffer.__new__(Buffer)
    client.check_alive()
    cdef sh_status status = sh_put_begin(&client.s, PAGE + nbytes, &b.p)
    cdef uint64_t until = 0
    while status == SH_FULL and _wait_for_room(client, PAGE + nbytes, &until):
        status = sh_put_begin(&client.s, PAGE + nbytes, &b.p)
    if until:
        _got_room(client)
    if status != SH_OK:
        _raise_full(client, status, PAGE + nbytes, f"no room for an object of {nbytes} bytes")
    b.client = client
    b.nbytes = nbytes
    if client.protected:
        client._unprotect(b.p.data, PAGE + nbytes)
    return b


cdef ObjectRef _seal_array(Client client, Buffer buffer, tuple describe, bint stays_writable):
    cdef bytes inband = _dumps(describe, 5)
    cdef sh_payload *p
    cdef sh_extent *extent
    client.check()
    if buffer.client is not client or buffer.sealed:
        raise _status.Invalid("this buffer was sealed before or belongs to another connection")
    if sizeof(sh_payload) + sizeof(sh_extent) + <uint64_t>len(inband) > PAGE:
        raise _status.Invalid("the array's dtype is too complex to be sealed in place; use put()")
    p = <sh_payload *>buffer.p.data
    memset(p, 0, sizeof(sh_payload))
    p.version = SH_PAYLOAD_VERSION
    p.py_minor = <uint8_t>_PY_MINOR
    p.flags = FLAG_ARRAY
    p.n_extents = 1
    p.inband_bytes = <uint64_t>len(inband)
    extent = <sh_extent *>(buffer.p.data + sizeof(sh_payload))
    extent.offset = PAGE
    extent.bytes = buffer.nbytes
    memcpy(buffer.p.data + sizeof(sh_payload) + sizeof(sh_extent), PyBytes_AS_STRING(inband), len(inband))
    if buffer.nbytes >= (1 << 20) and not stays_writable:
        # The creator's own view becomes read-only too. Smaller ones are not worth a mapping each.
        if sh_os_protect(buffer.p.data + PAGE, buffer.nbytes & ~<uint64_t>(PAGE - 1), False) == 0:
            client.protected[<size_t>(buffer.p.data + PAGE)] = buffer.nbytes & ~<uint64_t>(PAGE - 1)
    client._enter()
    sh_pin(&client.s, buffer.p.ref)  # before it is sealed: from then on it could be spilled under the creator's view
    sh_put_commit(&client.s, &buffer.p, 0)
    client._leave()
    sh_ref_again(&client.s, buffer.p.ref)  # the buffer keeps the object, and its bytes here, while its view lives
    buffer.sealed = True
    return _made(client, buffer.p.ref)

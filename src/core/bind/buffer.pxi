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

# SPDX-License-Identifier: Apache-2.0
# Board: an object's bytes that several clients write to, and words by which they tell each other how far they are.

cdef enum:
    BOARD_SPIN_NS = 100000
    BOARD_SLICE_NS = 200000000  # between two looks whether who is waited for still lives


@cython.final
@cython.no_gc
cdef class Board:
    """One party's share of a board (node/board.h). Holds and pins the object while anything looks at it."""
    cdef Client client
    cdef sh_ref r
    cdef sh_board b
    cdef uint8_t *data
    cdef readonly uint64_t nbytes

    def __init__(self, Client client not None, ObjectRef ref not None, uint32_t n_parties, uint32_t me, uint32_t n_words):
        cdef const sh_payload *p
        cdef const sh_extent *extent
        if self.client is not None:
            raise _status.Invalid("this board was opened before")
        client.check()
        if ref.client is not client:
            raise _status.Invalid("this ObjectRef belongs to an earlier connection")
        if not me < n_parties <= SH_BOARD_MOST_PARTIES:
            raise _status.Invalid(f"party {me} of {n_parties}: a board has at most {SH_BOARD_MOST_PARTIES}")
        sh_ref_again(&client.s, ref.r)
        sh_pin(&client.s, ref.r)
        self.client = client
        self.r = ref.r
        p = <const sh_payload *>sh_object_look(&client.s, ref.r)
        if p == NULL or p.n_extents != 1:
            raise _status.Invalid("the object is no board, or is not in memory")
        extent = sh_payload_extents(p)
        if extent.bytes < n_parties * sh_board_line_bytes(n_words):
            raise _status.Invalid("the object has not the size of such a board")
        self.data = <uint8_t *>p + extent.offset
        self.nbytes = extent.bytes
        if client.protected:
            client._unprotect(self.data, self.nbytes)
        self.b.lines = self.data
        self.b.n_parties, self.b.n_words, self.b.me = n_parties, n_words, me

    def __dealloc__(self):
        if self.client is not None:
            sh_unpin(&self.client.s, self.r)
            sh_ref_bury(&self.client.s, self.r)

    def __getbuffer__(self, Py_buffer *view, int flags):
        PyBuffer_FillInfo(view, self, self.data, <Py_ssize_t>self.nbytes, 0, flags)

    def __releasebuffer__(self, Py_buffer *view):
        pass

    cdef int check(self, uint32_t word) except -1:
        self.client.check_alive()
        if word >= self.b.n_words:
            raise _status.Invalid(f"this board has {self.b.n_words} words, none of number {word}")
        return 0

    def join(self) -> None:
        self.client.check_alive()
        sh_board_join(&self.client.s, &self.b)

    def tell(self, uint32_t word, uint64_t value) -> None:
        self.check(word)
        sh_board_tell(&self.client.s, &self.b, word, value)

    def behind(self, uint32_t first, uint32_t last, uint32_t word, uint64_t least) -> int:
        self.check(word)
        return sh_board_behind(&self.b, first, last if last < self.b.n_parties else self.b.n_parties, word, least)

    def wait(self, uint32_t first, uint32_t last, uint32_t word, uint64_t least) -> int:
        cdef Client client = self.client
        cdef sh_status status
        cdef uint32_t at
        self.check(word)
        if last > self.b.n_parties:
            last = self.b.n_parties
        at = sh_board_behind(&self.b, first, last, word, least)
        if at >= last:
            return last
        if sh_may_spin(&client.s):
            sh_set_run_state(&client.s, SH_RUN_SPINNING)
            with nogil:
                at = sh_board_spin(&client.s, &self.b, at, last, word, least, BOARD_SPIN_NS)
            sh_set_run_state(&client.s, SH_RUN_BUSY)
            if at == last:
                return last
        if client.blocked == 0:
            sh_block(&client.s)
        client.blocked += 1
        _tell_what_for(client, SH_AWAITS_SEVERAL, 0)
        try:
            with nogil:
                status = sh_board_park(&client.s, &self.b, at, last, word, least,
                                       SLICE_NS if client.s.role == SH_ROLE_DRIVER else BOARD_SLICE_NS)
        finally:
            client.blocked -= 1
            if client.blocked == 0:
                sh_waits_end(&client.s)
                sh_unblock(&client.s)
        if status == SH_FENCED:
            _raise(status, "the node has stopped, or this process was removed from it; call shoal.init() again")
        PyErr_CheckSignals()
        return sh_board_behind(&self.b, at, last, word, least)

    def word_of(self, uint32_t party, uint32_t word) -> int:
        self.check(word)
        if party >= self.b.n_parties:
            raise _status.Invalid(f"this board has {self.b.n_parties} parties, none of number {party}")
        return sh_load_acquire(&sh_board_line(&self.b, party).x_words[word])

    def who(self, uint32_t party) -> tuple:
        cdef uint64_t who
        if party >= self.b.n_parties:
            raise _status.Invalid(f"this board has {self.b.n_parties} parties, none of number {party}")
        who = sh_load_acquire(&sh_board_line(&self.b, party).x_who)
        return <uint32_t>who, <uint32_t>(who >> 32)

    def is_gone(self, uint32_t party) -> bool:
        self.client.check_alive()
        if party >= self.b.n_parties:
            raise _status.Invalid(f"this board has {self.b.n_parties} parties, none of number {party}")
        return sh_board_is_gone(&self.client.s.seg, &self.b, party)


def blocked_in(Client client not None, function, *args):
    """Call `function`, which waits for other processes: a worker gives its CPU up meanwhile."""
    client.check()
    if client.blocked == 0:
        sh_block(&client.s)
    client.blocked += 1
    try:
        return function(*args)
    finally:
        client.blocked -= 1
        if client.blocked == 0:
            sh_unblock(&client.s)


def board_bytes(uint32_t n_parties, uint32_t n_words) -> int:
    """Bytes of the lines of a board."""
    return n_parties * sh_board_line_bytes(n_words)

# SPDX-License-Identifier: Apache-2.0
"""The limit of large puts: memcpy from private memory into warm shared pages, by one thread or several."""

from __future__ import annotations

import ctypes
import mmap
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

ARRAY_BYTES = 100 * 1024 * 1024 * 8
HUGE_PAGE_BYTES = 2 * 1024 * 1024
# Not in the mmap module of these Pythons. MADV_COLLAPSE: Linux 6.1.
MADV_COLLAPSE = 25
MAP_FIXED = 0x10
MAP_FAILED = ctypes.c_size_t(-1).value


class SharedCopy:
    """An array of `ARRAY_BYTES` and a shared mapping of the same size, both touched, so that copying only copies.

    `pages` says what the destination is made of.
    """

    def __init__(self) -> None:
        self._source = np.ones(ARRAY_BYTES // 8, dtype=np.int64)
        self._target = _map_aligned(ARRAY_BYTES)
        ctypes.memset(self._target, 0, ARRAY_BYTES)
        is_collapsed = _libc.madvise(self._target, ARRAY_BYTES, MADV_COLLAPSE) == 0
        self.pages = "2 MiB pages (MADV_COLLAPSE)" if is_collapsed else "4 KiB pages (MADV_COLLAPSE refused)"
        self._threads = ThreadPoolExecutor(2)

    def copy(self, n_threads: int) -> None:
        """Copy the whole array, cut in `n_threads` (1 or 2) equal parts."""
        part = ARRAY_BYTES // n_threads
        done = [self._threads.submit(self._copy_part, index * part, part) for index in range(n_threads)]
        for future in done:
            future.result()

    def close(self) -> None:
        """End the threads and free the memory."""
        self._threads.shutdown()
        del self._source
        _libc.munmap(self._target, ARRAY_BYTES)

    def _copy_part(self, start: int, size: int) -> None:
        # Through ctypes, which releases the GIL: the plain memcpy of the C library and nothing else.
        ctypes.memmove(self._target + start, self._source.ctypes.data + start, size)


def _map_aligned(size: int) -> int:
    """The address of `size` bytes of a new memfd, mapped where its huge pages can be huge pages."""
    reserved = _check(
        _libc.mmap(None, size + HUGE_PAGE_BYTES, mmap.PROT_READ, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
    )
    aligned = -(-reserved // HUGE_PAGE_BYTES) * HUGE_PAGE_BYTES
    fd = os.memfd_create("memcpy-limit")
    try:
        os.ftruncate(fd, size)
        access = mmap.PROT_READ | mmap.PROT_WRITE
        return _check(_libc.mmap(aligned, size, access, mmap.MAP_SHARED | MAP_FIXED, fd, 0))
    finally:
        os.close(fd)


def _check(address: int) -> int:
    if address == MAP_FAILED:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return address


def _load_libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    address, size, number = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    libc.mmap.argtypes = (address, size, number, number, number, ctypes.c_long)
    libc.mmap.restype = ctypes.c_size_t
    libc.madvise.argtypes = (address, size, number)
    libc.munmap.argtypes = (address, size)
    return libc


_libc = _load_libc()

# SPDX-License-Identifier: Apache-2.0
"""The files that values are spilled to: few, nameless, bounded, and gone with the daemon.

A file is opened by O_TMPFILE (or unlinked at once), mode 0600, so nothing of it is left whoever is killed, and nobody
can find it by name. Several small values go out in one write; a large one goes straight from the store's memory.
O_DIRECT keeps the kernel from caching a second copy of what was moved out for want of memory, and makes a write that
succeeded one that is on the device; where a file system refuses it, writes are followed by fdatasync.

Space is given back by punching holes; a file whose values are all gone is truncated and used again. Every value carries
a checksum (XXH3, 64 bits), which is compared before anybody sees the bytes.

Thread-safe; every method may block.
"""

from __future__ import annotations

import errno
import mmap
import os
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from xxhash import xxh3_64_intdigest

from shoal._core._node import address_of, punch_hole

PAGE = 4096  # O_DIRECT's alignment of addresses, offsets and sizes
ALIGN = 64  # of values within one write
STAGING_BYTES = 4 << 20
FILE_BYTES = 1 << 30
MAX_FILES = 64  # a daemon with few descriptors gives fewer (shoal.node.descriptors)
SPARE_FRACTION = 0.05  # of the file system: not ours to fill
# What new values leave free beside, so that there is room to swap when all of it is in use: before a value can come
# back to a full memory others must go. An eighth, at most so much; at least what an arena of the store holds, because
# all of it must go before it passes to whoever needs room; and at least as much as the value itself.
SWAP_FRACTION = 8
SWAP_BYTES = 256 << 20
ARENA_BYTES = 32 << 20


class SpillError(OSError):
    """A file cannot be written or read; `filename` is the folder."""


class DamagedCopyError(Exception):
    """What was read is not what was written."""


class Batch:
    """One write: a range of a file and how many values of it are alive."""

    __slots__ = ("file", "length", "n_live", "offset")

    def __init__(self, file: SpillFile, offset: int, length: int, n_live: int) -> None:
        self.file = file
        self.offset = offset
        self.length = length
        self.n_live = n_live


class Copy(NamedTuple):
    """Where a value's bytes are."""

    batch: Batch
    start: int  # within the batch
    nbytes: int
    digest: int


class SpillFile:
    """One open file."""

    __slots__ = ("end", "fd", "is_direct", "live_bytes")

    def __init__(self, fd: int, is_direct: bool) -> None:
        self.fd = fd
        self.is_direct = is_direct
        self.end = 0  # where the next batch goes
        self.live_bytes = 0


class SpillFiles:
    """All spilled bytes of a node, in `folder`. At most `limit` bytes on disk (None: what the file system has)."""

    def __init__(
        self, folder: str, limit: int | None = None, *, file_bytes: int = FILE_BYTES, max_files: int = MAX_FILES
    ) -> None:
        self.folder = folder
        self.limit = limit
        self.used_bytes = 0
        self._was_full = False  # when there was last something new to write
        self._file_bytes = file_bytes
        self._max_files = max_files
        self._files: list[SpillFile] = []
        self._lock = threading.Lock()
        self._local = threading.local()

    @property
    def n_files(self) -> int:
        """Open files."""
        return len(self._files)

    @property
    def is_tight(self) -> bool:
        """Whether copies that are not needed should go."""
        return self._was_full or (self.limit is not None and self.used_bytes > self.limit // 2)

    def write(self, values: Sequence[memoryview], *, is_swap: bool = False) -> list[Copy]:
        """Write values side by side -> their places. All or nothing. Raises SpillError.

        `is_swap`: others come back in their place, so the room that is kept for this may be used.
        """
        starts = []
        length = 0
        for value in values:
            starts.append(length)
            length = _up(length + value.nbytes, ALIGN)
        length = _up(max(length, 1), PAGE)
        batch = self._reserve(length, len(values), is_swap)
        try:
            self._write_out(batch, values, starts)
        except OSError as error:
            self._release(batch)
            raise self._explain(error, f"write {length:,} bytes") from error
        return [
            Copy(batch, start, value.nbytes, xxh3_64_intdigest(value))
            for start, value in zip(starts, values, strict=True)
        ]

    def read(self, copy: Copy, into: memoryview) -> None:
        """Read a value to the start of `into`, which may have room to spare. Raises SpillError, DamagedCopyError."""
        try:
            self._read_in(copy, into)
        except OSError as error:
            raise self._explain(error, f"read {copy.nbytes:,} bytes") from error
        if xxh3_64_intdigest(into[: copy.nbytes]) != copy.digest:
            raise DamagedCopyError(f"{copy.nbytes:,} bytes that were spilled to {self.folder} came back changed")

    def free(self, copy: Copy) -> None:
        """A value's place is not needed any more."""
        with self._lock:
            copy.batch.n_live -= 1
            is_last = copy.batch.n_live == 0
        if is_last:
            self._release(copy.batch)

    def close(self) -> None:
        """Close all files, which deletes them."""
        with self._lock:
            files, self._files = self._files, []
        for file in files:
            os.close(file.fd)

    # -- space

    def _reserve(self, length: int, n_live: int, is_swap: bool) -> Batch:
        with self._lock:
            self._check_space(length, is_swap)
            file = self._file_for(length)
            try:
                os.posix_fallocate(file.fd, file.end, length)  # so that the next look at the file system counts it
            except OSError as error:
                raise self._explain(error, f"reserve {length:,} bytes") from error
            batch = Batch(file, file.end, length, n_live)
            file.end += length
            file.live_bytes += length
            self.used_bytes += length
            return batch

    def _check_space(self, length: int, is_swap: bool) -> None:
        try:
            os.makedirs(self.folder, mode=0o700, exist_ok=True)
            system = os.statvfs(self.folder)
        except OSError as error:
            raise self._explain(error, "look at the file system") from error
        size = system.f_blocks * system.f_frsize
        free = system.f_bavail * system.f_frsize
        limit, text = self.limit, None
        kept = 0 if limit is None else _swap_room(limit, length, is_swap)
        if limit is not None and self.used_bytes + length > limit - kept:
            text = (
                f"{self.used_bytes:,} of {limit:,} bytes that may be spilled are in use, {length:,} more are wanted, "
                f"and {kept:,} are kept for values to come back; raise object_spilling_limit"
            )
        elif free - length < SPARE_FRACTION * size + _swap_room(size, length, is_swap):
            text = f"{free:,} of {size:,} bytes of its file system are free, and some of them must stay free"
        if not is_swap:
            self._was_full = text is not None
        if text is not None:
            raise SpillError(errno.ENOSPC, text, self.folder)

    def _file_for(self, length: int) -> SpillFile:
        if self._files and self._files[-1].end + length <= self._file_bytes:
            return self._files[-1]
        for file in self._files:
            if file.live_bytes == 0:
                os.truncate(file.fd, 0)
                file.end = 0
                break
        else:
            if len(self._files) < self._max_files:
                file = self._open()
            else:  # it has holes where values were: sparse, it may grow
                file = min(self._files, key=lambda one: one.live_bytes)
        if file in self._files:
            self._files.remove(file)
        self._files.append(file)
        return file

    def _open(self) -> SpillFile:
        try:
            for extra in (os.O_DIRECT, 0):
                with suppress(OSError):
                    return SpillFile(
                        os.open(self.folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC | extra, 0o600), extra != 0
                    )
            fd, path = tempfile.mkstemp(prefix="shoal-", dir=self.folder)  # 0600, O_EXCL, O_NOFOLLOW
            os.unlink(path)
            return SpillFile(fd, is_direct=False)
        except OSError as error:
            raise self._explain(error, "open a file") from error

    def _release(self, batch: Batch) -> None:
        with self._lock:
            batch.file.live_bytes -= batch.length
            self.used_bytes -= batch.length
            if batch.file in self._files:
                punch_hole(batch.file.fd, batch.offset, batch.length)

    # -- bytes

    def _write_out(self, batch: Batch, values: Sequence[memoryview], starts: Sequence[int]) -> None:
        file = batch.file
        if len(values) == 1 and values[0].nbytes >= STAGING_BYTES // 4 and address_of(values[0]) % PAGE == 0:
            whole = values[0].nbytes - values[0].nbytes % PAGE
            _write_all(file.fd, values[0][:whole], batch.offset)
            rest = values[0][whole:]
            if rest.nbytes:
                self._write_staged(file.fd, [rest], [0], PAGE, batch.offset + whole)
        else:
            self._write_staged(file.fd, values, starts, batch.length, batch.offset)
        if not file.is_direct:
            os.fdatasync(file.fd)
            os.posix_fadvise(file.fd, batch.offset, batch.length, os.POSIX_FADV_DONTNEED)

    def _write_staged(
        self, fd: int, values: Sequence[memoryview], starts: Sequence[int], length: int, offset: int
    ) -> None:
        """Through an aligned buffer, in pieces if need be."""
        staging = self._staging()
        done = 0
        while done < length:
            size = min(length - done, STAGING_BYTES)
            for value, start in zip(values, starts, strict=True):
                first, last = max(start, done), min(start + value.nbytes, done + size)
                if first < last:
                    staging[first - done : last - done] = value[first - start : last - start]
            _write_all(fd, staging[:size], offset + done)
            done += size

    def _read_in(self, copy: Copy, into: memoryview) -> None:
        fd, offset = copy.batch.file.fd, copy.batch.offset + copy.start
        length = _up(copy.nbytes, PAGE)
        if offset % PAGE == 0 and into.nbytes >= length and address_of(into) % PAGE == 0:
            _read_all(fd, into[:length], offset)
            return
        staging = self._staging()
        done = 0
        while done < copy.nbytes:
            first = (offset + done) // PAGE * PAGE
            skip = offset + done - first
            size = min(_up(skip + copy.nbytes - done, PAGE), STAGING_BYTES)
            _read_all(fd, staging[:size], first)
            part = min(size - skip, copy.nbytes - done)
            into[done : done + part] = staging[skip : skip + part]
            done += part

    def _staging(self) -> memoryview:
        """This thread's buffer, aligned to a page."""
        view: memoryview | None = getattr(self._local, "view", None)
        if view is None:
            view = self._local.view = memoryview(mmap.mmap(-1, STAGING_BYTES))
        return view

    def _explain(self, error: OSError, what: str) -> SpillError:
        if isinstance(error, SpillError):
            return error
        return SpillError(error.errno, f"cannot {what}: {error.strerror or error}", self.folder)


def default_folder() -> str:
    """Where values are spilled unless somebody says otherwise: a folder that is on a disk on most machines."""
    return "/var/tmp" if os.access("/var/tmp", os.W_OK | os.X_OK) else tempfile.gettempdir()


def _swap_room(size: int, length: int, is_swap: bool) -> int:
    """Bytes of `size` that a write leaves free for swapping."""
    if is_swap:
        return 0
    return max(length, min(SWAP_BYTES, size // SWAP_FRACTION), min(ARENA_BYTES, size // 2))


def _up(number: int, unit: int) -> int:
    return -(-number // unit) * unit


def _write_all(fd: int, data: memoryview, offset: int) -> None:
    while data.nbytes:
        count = os.pwrite(fd, data, offset) // PAGE * PAGE  # a short write goes on at a page, as O_DIRECT asks
        if count == 0:
            raise OSError(errno.EIO, "the file takes no more bytes and does not say why")
        data = data[count:]
        offset += count


def _read_all(fd: int, into: memoryview, offset: int) -> None:
    while into.nbytes:
        count = os.preadv(fd, [into], offset)
        if count == 0:
            raise OSError(errno.EIO, "the file ends early")
        into = into[count:]
        offset += count

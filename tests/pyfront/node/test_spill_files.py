# SPDX-License-Identifier: Apache-2.0
"""Files of spilled values: what is written is read, space is bounded and comes back, a disk that fails says how."""

import errno
import os
import random
import stat
from pathlib import Path

import pytest

from shoal.node import spill_files
from shoal.node.spill_files import PAGE, STAGING_BYTES, Copy, DamagedCopyError, SpillError, SpillFiles, default_folder

SIZES = (0, 1, 63, 64, PAGE - 1, PAGE, PAGE + 1, 100_000, STAGING_BYTES - 1, STAGING_BYTES, 2 * STAGING_BYTES + 5)


def views(*values: bytes) -> list[memoryview]:
    return [memoryview(value) for value in values]


def read(files: SpillFiles, copy: Copy, spare: int = 0) -> bytes:
    into = memoryview(bytearray(copy.nbytes + spare))
    files.read(copy, into)
    return bytes(into[: copy.nbytes])


@pytest.mark.parametrize("spare", [0, PAGE])
def test_every_size_comes_back(tmp_path: Path, spare: int) -> None:
    files = SpillFiles(str(tmp_path))
    values = [os.urandom(size) for size in SIZES]
    alone = [files.write(views(value))[0] for value in values]
    together = files.write(views(*values))
    for value, one, other in zip(values, alone, together, strict=True):
        assert read(files, one, spare) == value
        assert read(files, other, spare) == value
    for copy in alone + together:
        files.free(copy)
    assert files.used_bytes == 0
    files.close()


def test_space_comes_back_and_files_are_few(tmp_path: Path) -> None:
    files = SpillFiles(str(tmp_path), file_bytes=1 << 20, max_files=4)
    dice = random.Random(1)
    kept: list[tuple[bytes, Copy]] = []
    for _ in range(300):
        values = [os.urandom(dice.choice([10, 5000, 70_000])) for _ in range(dice.randrange(1, 8))]
        kept += zip(values, files.write(views(*values)), strict=True)
        while len(kept) > 40:
            value, copy = kept.pop(dice.randrange(len(kept)))
            assert read(files, copy) == value
            files.free(copy)
        assert files.n_files <= 4
    for value, copy in kept:
        assert read(files, copy) == value
        files.free(copy)
    assert files.used_bytes == 0
    files.close()


def test_holes_give_blocks_back_to_the_file_system(tmp_path: Path) -> None:
    files = SpillFiles(str(tmp_path))
    copies = [files.write(views(os.urandom(1 << 20)))[0] for _ in range(8)]
    fd = copies[0].batch.file.fd
    before = os.fstat(fd).st_blocks
    for copy in copies[:4]:
        files.free(copy)
    if os.fstat(fd).st_blocks == before:
        pytest.skip("this file system makes no holes")
    assert os.fstat(fd).st_blocks <= before * 0.6
    files.close()


def test_files_are_private_and_have_no_name(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    files = SpillFiles(str(folder))
    copy = files.write(views(b"secret"))[0]
    assert os.listdir(folder) == []
    assert stat.S_IMODE(os.fstat(copy.batch.file.fd).st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not os.get_inheritable(copy.batch.file.fd)
    files.close()


def test_a_changed_byte_is_noticed(tmp_path: Path) -> None:
    files = SpillFiles(str(tmp_path))
    copy = files.write(views(bytes(5 * PAGE)))[0]
    plain = os.open(f"/proc/self/fd/{copy.batch.file.fd}", os.O_WRONLY)
    os.pwrite(plain, b"\x01", copy.batch.offset + 3 * PAGE)
    os.close(plain)
    with pytest.raises(DamagedCopyError, match=str(tmp_path)):
        read(files, copy)
    files.close()


def test_the_limit_leaves_room_to_swap(tmp_path: Path) -> None:
    files = SpillFiles(str(tmp_path), limit=16 * PAGE)
    for _ in range(8):
        files.write(views(b"x"))
    with pytest.raises(SpillError, match=r"may be spilled are in use, .* kept for values to come back") as caught:
        files.write(views(b"x"))
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(tmp_path)
    for _ in range(8):
        files.write(views(b"x"), is_swap=True)
    with pytest.raises(SpillError):
        files.write(views(b"x"), is_swap=True)
    assert files.used_bytes == 16 * PAGE
    assert files.is_tight
    files.close()


def test_a_nearly_full_file_system_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.statvfs(tmp_path)

    class Nearly:
        f_frsize = real.f_frsize
        f_blocks = 1000
        f_bavail = 50

    files = SpillFiles(str(tmp_path))
    monkeypatch.setattr(os, "statvfs", lambda path: Nearly)
    with pytest.raises(SpillError, match="must stay free"):
        files.write(views(b"x"))
    assert files.used_bytes == 0


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_every_write_call_may_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """The n-th system call fails, for all n: nothing is half written or accounted, and the next attempt works."""
    real = os.pwrite
    values = views(os.urandom(3 * STAGING_BYTES), b"abc", os.urandom(5000))
    n_calls = 0
    for failing in range(100):
        n_calls = 0

        def fail(fd: int, data: memoryview, offset: int, failing: int = failing) -> int:
            nonlocal n_calls
            n_calls += 1
            if n_calls == failing + 1:
                raise OSError(code, os.strerror(code))
            return real(fd, data, offset)

        files = SpillFiles(str(tmp_path))
        monkeypatch.setattr(os, "pwrite", fail)
        failure: SpillError | None = None
        copies: list[Copy] = []
        try:
            copies = files.write(values)
        except SpillError as error:
            failure = error
        if failure is not None:
            assert failure.errno == code
            assert failure.filename == str(tmp_path)
            assert files.used_bytes == 0
            copies = files.write(values)
        assert [read(files, copy) for copy in copies] == [bytes(value) for value in values]
        files.close()
        if n_calls <= failing:
            return
    raise AssertionError("more calls than expected")


def test_short_writes_and_reads_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, preadv = os.pwrite, os.preadv
    dice = random.Random(3)
    monkeypatch.setattr(
        os, "pwrite", lambda fd, data, at: write(fd, data[: max(PAGE, dice.randrange(data.nbytes) // PAGE * PAGE)], at)
    )
    monkeypatch.setattr(
        os,
        "preadv",
        lambda fd, into, at: preadv(fd, [into[0][: max(PAGE, dice.randrange(into[0].nbytes) // PAGE * PAGE)]], at),
    )
    files = SpillFiles(str(tmp_path))
    value = os.urandom(2 * STAGING_BYTES + 77)
    copy = files.write(views(value))[0]
    assert read(files, copy) == value
    files.close()


def test_a_file_that_takes_nothing_and_one_that_ends_early_are_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = SpillFiles(str(tmp_path))
    copy = files.write(views(b"here"))[0]
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: 0)
    with pytest.raises(SpillError, match="takes no more bytes"):
        files.write(views(b"more"))
    monkeypatch.setattr(os, "preadv", lambda fd, into, at: 0)
    with pytest.raises(SpillError, match="ends early"):
        read(files, copy)
    files.close()


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SpillError, match="cannot"):
        SpillFiles(str(tmp_path / "file" / "below")).write(views(b"x"))


def test_without_direct_writes_and_nameless_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a file system that has neither: buffered, then fdatasync."""
    real = os.open
    synced = []

    def refuse(path: str, flags: int, *rest: int) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE or flags & os.O_DIRECT:
            raise OSError(errno.EOPNOTSUPP, "no")
        return real(path, flags, *rest)

    monkeypatch.setattr(os, "open", refuse)
    fdatasync = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda fd: (synced.append(fd), fdatasync(fd)))
    files = SpillFiles(str(tmp_path))
    value = os.urandom(300_001)
    copy = files.write(views(value))[0]
    assert synced == [copy.batch.file.fd]
    assert not copy.batch.file.is_direct
    assert os.listdir(tmp_path) == []
    assert read(files, copy) == value
    files.close()


def test_the_default_folder_exists() -> None:
    assert os.path.isdir(default_folder())
    assert spill_files.FILE_BYTES % PAGE == 0

# SPDX-License-Identifier: Apache-2.0
"""Copies of what users point to, in the node's folder of packages, under the hash of their content.

A copy is made beside its place, and takes it by one rename: whoever dies before has left rubbish that goes with the
folder, and of two who make the same one the second finds it there. What is named by its content is never changed, so an
edit of the original makes another copy, and running jobs keep theirs.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from hashlib import blake2b
from typing import IO, TYPE_CHECKING, NamedTuple

from shoal.errors import RuntimeEnvSetupError

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

DEFAULT_EXCLUDES = (".git/", "__pycache__/", ".venv/", "venv/")
IGNORE_FILE = ".gitignore"
CHUNK_BYTES = 1 << 20
MIB = 1 << 20
HASH_BYTES = 16
SHOWN_LARGEST = 3


class Item(NamedTuple):
    """One file of a package."""

    name: str  # within the package
    size: int
    is_executable: bool
    open: Callable[[], IO[bytes]]


class Packages:
    """The folder of one node, for this process. `limit`: bytes of one package."""

    def __init__(self, folder: str, limit: int) -> None:
        self._folder = folder
        self._limit = limit

    def directory(self, path: str, excludes: Sequence[str]) -> str:
        """A copy of a directory -> its path."""
        return self._make(path, list(_tree(path, excludes)))

    def module(self, path: str, excludes: Sequence[str]) -> str:
        """A copy of a package's directory or of a module's file, in a folder of its own -> that folder."""
        name = os.path.basename(path)
        if os.path.isdir(path):
            items = [item._replace(name=f"{name}/{item.name}") for item in _tree(path, excludes)]
        else:
            items = [_of_file(path, name)]
        return self._make(path, items)

    def archive(self, path: str, excludes: Sequence[str]) -> str:
        """A zip file's or a wheel's content -> its folder.

        Raises RuntimeEnvSetupError if it is damaged, or a name leads out of the folder."""
        spec = _spec(excludes)
        try:
            with zipfile.ZipFile(path) as archive:
                items = list(_of_archive(archive, path, spec))
                return self._make(path, items)
        except RuntimeEnvSetupError:
            raise
        except Exception as error:  # each way to compress has errors of its own for bytes that are none of its
            raise RuntimeEnvSetupError(f"{path} cannot be unpacked: {error}") from error

    def _make(self, source: str, items: list[Item]) -> str:
        total = sum(item.size for item in items)
        if total > self._limit:
            raise _too_large(source, items, self._limit)
        draft = os.path.join(self._folder, f".draft-{os.getpid()}-{os.urandom(4).hex()}")
        try:
            os.mkdir(draft, 0o700)
            key = self._fill(draft, source, sorted(items))
            path = os.path.join(self._folder, key)
            if not os.path.isdir(path):
                with suppress(FileExistsError):  # somebody was faster
                    _rename(draft, path)
            return path
        except OSError as error:
            raise RuntimeEnvSetupError(f"{source} cannot be copied to {self._folder}: {error}") from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def _fill(self, draft: str, source: str, items: list[Item]) -> str:
        hashed = blake2b(digest_size=HASH_BYTES)
        room = self._limit  # as bytes come: a file may grow while it is read
        for item in items:
            target = os.path.join(draft, item.name)
            os.makedirs(os.path.dirname(target), 0o700, exist_ok=True)
            content = blake2b(digest_size=HASH_BYTES)
            mode = 0o700 if item.is_executable else 0o600
            with (
                item.open() as reader,
                open(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode), "wb") as writer,
            ):
                while chunk := reader.read(CHUNK_BYTES):
                    room -= len(chunk)
                    if room < 0:
                        raise _too_large(source, items, self._limit)
                    content.update(chunk)
                    writer.write(chunk)
            hashed.update(f"{item.name}\0{mode:o}\0".encode("utf-8", "surrogateescape") + content.digest())
        return hashed.hexdigest()


def _rename(draft: str, path: str) -> None:
    try:
        os.rename(draft, path)
    except OSError:
        if not os.path.isdir(path):
            raise


def _too_large(source: str, items: list[Item], limit: int) -> RuntimeEnvSetupError:
    total = sum(item.size for item in items)
    largest = sorted(items, key=lambda item: item.size, reverse=True)[:SHOWN_LARGEST]
    shown = ", ".join(f"{item.name} ({item.size / MIB:,.1f} MiB)" for item in largest)
    return RuntimeEnvSetupError(
        f"{source} holds {total / MIB:,.1f} MiB, and a package may have {limit / MIB:,.1f} MiB; "
        f"the largest files: {shown}. Leave files out with excludes= or .gitignore, pass data with shoal.put, or raise "
        "SHOAL_PACKAGE_LIMIT (bytes)"
    )


# -- directories


def _spec(patterns: Sequence[str]) -> GitIgnoreSpec:
    from pathspec import GitIgnoreSpec

    try:
        return GitIgnoreSpec.from_lines(patterns)
    except ValueError as error:
        raise ValueError(f"excludes: {error}") from error


def _tree(root: str, excludes: Sequence[str]) -> Iterator[Item]:
    """The files of a directory but those that `excludes` or a `.gitignore` name. Links are followed, circles not."""
    yield from _below(root, "", [("", _spec([*DEFAULT_EXCLUDES, *excludes]))], {os.path.realpath(root)})


def _below(root: str, folder: str, specs: list[tuple[str, GitIgnoreSpec]], seen: set[str]) -> Iterator[Item]:
    here = os.path.join(root, folder)
    ignore = os.path.join(here, IGNORE_FILE)
    if os.path.isfile(ignore):
        with open(ignore, encoding="utf-8", errors="replace") as file:
            specs = [*specs, (f"{folder}/" if folder else "", _spec(file.read().splitlines()))]
    for name in sorted(os.listdir(here)):
        path, inside = os.path.join(here, name), os.path.join(folder, name)
        is_folder = os.path.isdir(path)
        whole = f"{inside}/" if is_folder else inside
        if any(spec.match_file(whole[len(above) :]) for above, spec in specs):
            continue
        if is_folder:
            real = os.path.realpath(path)
            if real not in seen:
                yield from _below(root, inside, specs, seen | {real})
        elif os.path.isfile(path):  # no sockets, no pipes, no links to nothing
            yield _of_file(path, inside)


def _of_file(path: str, name: str) -> Item:
    status = os.stat(path)
    return Item(name, status.st_size, bool(status.st_mode & stat.S_IXUSR), lambda: open(path, "rb"))


# -- archives


def _of_archive(archive: zipfile.ZipFile, path: str, spec: GitIgnoreSpec) -> Iterator[Item]:
    is_wheel = path.endswith(".whl")
    if is_wheel:
        _check_tags(path)
    for info in archive.infolist():
        name = info.filename
        kind = stat.S_IFMT(info.external_attr >> 16)
        placed = _place_in_wheel(name) if is_wheel else name
        if _leads_out(name) or _leads_out(placed or ""):  # what is left of a name may begin with a slash
            raise RuntimeEnvSetupError(f"{path} is refused: its member {name!r} would be written outside of its folder")
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise RuntimeEnvSetupError(f"{path} is refused: its member {name!r} is a link or a device")
        if info.is_dir() or spec.match_file(name):
            continue
        if placed is not None:
            is_executable = bool(info.external_attr >> 16 & stat.S_IXUSR)
            yield Item(placed, info.file_size, is_executable, lambda info=info: archive.open(info))  # type: ignore[misc]


def _leads_out(name: str) -> bool:
    return name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/") or "\0" in name


def _place_in_wheel(name: str) -> str | None:
    """Where a wheel's member goes in a folder for imports; None: scripts and data do not."""
    top, _, rest = name.partition("/")
    if not top.endswith(".data"):
        return name
    kind, _, inner = rest.partition("/")
    return inner if kind in ("purelib", "platlib") else None


def _check_tags(path: str) -> None:
    """Refuse a wheel for another Python or machine; its import would fail with less to say."""
    parts = os.path.basename(path)[: -len(".whl")].split("-")
    if len(parts) < 5:
        raise RuntimeEnvSetupError(f"{path} is not named as wheels are: name-version-python-abi-platform.whl")
    pythons, platforms = parts[-3].split("."), parts[-1].split(".")
    major, minor = sys.version_info[:2]
    fits_python = any(
        tag in (f"py{major}", f"py{major}{minor}", f"cp{major}{minor}")
        or (parts[-2] == "abi3" and tag.startswith(f"cp{major}") and tag[3:].isdigit() and int(tag[3:]) <= minor)
        for tag in pythons
    )
    fits_machine = any(tag == "any" or ("linux" in tag and tag.endswith(os.uname().machine)) for tag in platforms)
    if not (fits_python and fits_machine):
        raise RuntimeEnvSetupError(
            f"{path} is a wheel for {parts[-3]} on {parts[-1]}, and workers run Python {major}.{minor} on "
            f"{os.uname().machine}"
        )

# SPDX-License-Identifier: Apache-2.0
"""When the store is full: what is not in use goes to disk; when it is wanted again, it comes back.

Decides nothing about memory itself: which objects may go, and the steps by which bytes leave and come, are the core's
(`src/core/node/spill.h`). This is the loop between the core and the files. It wakes when a client waits for room or for
an object, writes and reads in a few threads, and tells the clients when to look again. A value stays in memory until
its copy is safe on disk, so a disk that fails loses nothing: the failure is told once a second at most, put into the
error of whoever waits in vain, and tried again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

from shoal._core._node import NodeCore, Restoring, SpillCore
from shoal.config import spill_dir, spill_limit, store_wait_s
from shoal.node.refusal import Refusal
from shoal.protocol.messages import Refused

if TYPE_CHECKING:
    from shoal.node.settings import NodeSettings
    from shoal.node.spill_files import Copy, SpillFiles

N_THREADS = 4
BATCH_BYTES = 4 << 20  # small values that are written together
ROUND_BYTES = 256 << 20  # spilled in one go at most ahead of what is asked for
ROUND_FRACTION = 16  # of the store, likewise
AHEAD_FRACTION = 8  # of the store: what may be on its way back before anybody waits for it
RETRY_S = 1.0  # after a failed write; and between two warnings
PATIENCE_S = 0.05  # between two looks while nothing can go, if nobody asks again
PAUSE_S = 0.005  # likewise, if somebody does
GONE_LOOKS = 4096
ALL_LOOKS = 0xFFFFFFFF
GONE_PERIOD_S = 0.5

Ref = tuple[int, int]  # index and generation of an entry


class Failure(NamedTuple):
    """The last write that failed."""

    at_s: float
    text: str
    is_swap: bool


class Spiller:
    """One node's. `open_files` is called when something is spilled for the first time; None: nothing ever is."""

    def __init__(
        self,
        core: SpillCore,
        open_files: Callable[[], SpillFiles] | None,
        store_bytes: int,
        wait_s: float,
        warn: Callable[[str], None],
    ) -> None:
        self.written_bytes = 0
        self.restored_bytes = 0
        self._core = core
        self._open_files = open_files
        self._files: SpillFiles | None = None
        self._store_bytes = store_bytes
        self._wait_s = wait_s
        self._warn = warn
        self._copies: dict[int, Copy] = {}  # by place
        self._places = count(1)
        self._coming: dict[Ref, asyncio.Future[None]] = {}
        self._wanted_bytes: dict[Ref, int] = {}  # of objects that found no room to come back to
        self._ahead_bytes = 0
        self._wanted = asyncio.Event()
        self._room = asyncio.Event()
        self._written = asyncio.Event()
        self._failure: Failure | None = None
        self._pause_ends_s = 0.0  # until then nothing is written
        self._warned_s = -RETRY_S
        self._threads = ThreadPoolExecutor(N_THREADS, thread_name_prefix="shoal-spill")
        self._tasks: set[asyncio.Task[None]] = set()

    # -- what the daemon calls

    def start(self) -> None:
        """Begin to serve."""
        self._spawn(self._serve())
        self._spawn(self._forget_the_gone())

    def close(self) -> None:
        """Stop; files go with their descriptors."""
        for task in self._tasks:
            task.cancel()
        self._threads.shutdown(cancel_futures=True)  # a write or a read under way ends first: it has our descriptors
        if self._files is not None:
            self._files.close()

    def room_wanted(self) -> None:
        """A client found the store full."""
        self._wanted.set()

    async def restore(self, needed: Iterable[Ref], ahead: Iterable[Ref]) -> None:
        """Bring `needed` back to memory; `ahead` will be wanted next. Raises Refusal if one cannot come."""
        coming = [self._restore(ref, self._wait_s) for ref in needed]
        for ref in ahead:
            self._start_ahead(ref)
        for ref in self._core.next_arguments():
            self._start_ahead(ref)
        await asyncio.gather(*coming)

    def report(self, nbytes: int) -> tuple[str, str]:
        """Why there is no room for so many bytes: a kind of `Refused`, and text that ends in advice."""
        size = f"The store has {_show(self._store_bytes)}"
        if nbytes > self._store_bytes:
            return Refused.FULL, f"{size}, the value {_show(nbytes)}: raise object_store_memory."
        if self._open_files is None:
            return Refused.FULL, f"{size}, and spilling is off: drop references, or raise object_store_memory."
        counters = self._core.counters()
        away = f"{_show(counters['spilled_bytes'])} of values are on disk"
        failure = self._failure
        if failure is not None and time.monotonic() - failure.at_s < 2 * self._wait_s + RETRY_S:
            return Refused.OUT_OF_DISK, f"{size}, {away}, and no more can be written: {failure.text}"
        return Refused.FULL, (
            f"{size}; {away}, and what is in memory is in use: by views of arrays, by arguments of running tasks, by "
            f"values not finished. Nothing came free within {self._wait_s:g} s. Drop views and references, or raise "
            "object_store_memory."
        )

    def counters(self) -> dict[str, int]:
        """Objects and bytes on disk now, bytes moved so far."""
        core = self._core.counters()
        return {
            "spilled_objects": core["spilled_objects"],
            "spilled_bytes": core["spilled_bytes"],
            "spill_written_bytes": self.written_bytes,
            "spill_restored_bytes": self.restored_bytes,
            "spill_disk_bytes": self._files.used_bytes if self._files else 0,
        }

    # -- out

    async def _serve(self) -> None:
        while True:
            await self._wanted.wait()
            try:
                while await self._make_room():
                    pass
            except Exception as error:  # a defect must not end spilling for good; who waits gets an error in time
                self._warn(f"Spilling has a defect; please report it: {error!r}")
                await asyncio.sleep(RETRY_S)

    async def _make_room(self) -> bool:
        """One round. False: nobody waits."""
        self._wanted.clear()
        _, largest, total = self._core.shortage()
        largest = max(largest, *self._wanted_bytes.values(), 0)
        total += sum(self._wanted_bytes.values())
        if total == 0:
            return False
        if self._failure is not None and await self._free_the_gone(ALL_LOOKS):
            self._pause_ends_s = 0.0  # there is room on disk again
        goal = max(total, min(ROUND_BYTES, self._store_bytes // ROUND_FRACTION))
        victims, has_room = await self._in_thread(self._core.choose, largest, goal)
        n_gone = await self._spill(victims) if victims else 0
        n_gone += await self._in_thread(self._core.trim, largest, goal) > 0
        if n_gone or has_room:
            self._room.set()
            self._room.clear()
            self._core.wake()
        if not n_gone:
            await asyncio.sleep(PAUSE_S)  # or who is woken in vain and we would keep each other busy
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._wanted.wait(), PATIENCE_S)
        return True

    async def _spill(self, victims: list[tuple[int, int, int, int]]) -> int:
        """-> how many objects have left memory."""
        n_gone = sum(self._core.evict(index, generation) for index, generation, _, place in victims if place)
        is_swap = bool(self._wanted_bytes)  # what goes makes room for what comes back
        if self._open_files is None or self._is_pausing(is_swap):
            return n_gone
        if self._files is None:
            self._files = self._open_files()
        writes = [self._in_thread(self._write, batch, is_swap) for batch in _batches(victims)]
        try:
            for done in asyncio.as_completed(writes):
                try:
                    n_gone += await done
                except OSError as error:
                    self._note_failure(error, is_swap)
                else:
                    self._core.wake()
        finally:
            self._written.set()
        return n_gone

    def _write(self, refs: list[Ref], is_swap: bool) -> int:
        """In a thread: copy objects to disk, then take their memory -> how many went."""
        if self._is_pausing(is_swap):
            return 0
        assert self._files is not None
        found = [(ref, view) for ref in refs if (view := self._core.bytes_of(*ref)) is not None]
        if not found:
            return 0
        n_gone = 0
        copies = self._files.write([view for _, view in found], is_swap=is_swap)
        for (ref, view), copy in zip(found, copies, strict=True):
            place = next(self._places)
            self._copies[place] = copy
            if self._core.written(*ref, place):
                self.written_bytes += view.nbytes
                n_gone += self._core.evict(*ref)
            else:  # it was freed while we wrote
                self._free(place)
        return n_gone

    def _is_pausing(self, is_swap: bool) -> bool:
        """Whether a write failed just now, and so would another. What is full for new values may have room to swap."""
        failure = self._failure
        return failure is not None and time.monotonic() < self._pause_ends_s and (failure.is_swap or not is_swap)

    def _note_failure(self, error: OSError, is_swap: bool) -> None:
        now_s = time.monotonic()
        text = f"spilling to {error.filename or 'disk'} failed: {error.strerror or error}"
        self._failure = Failure(now_s, text, is_swap)
        self._pause_ends_s = now_s + RETRY_S
        if now_s - self._warned_s >= RETRY_S:
            self._warned_s = now_s
            self._warn(
                f"The object store is full and {text}. Values stay in memory; whoever needs room waits up to "
                f"{self._wait_s:g} s. Free disk space, choose another folder (object_spilling_directory), or drop "
                "references."
            )

    # -- back

    def _start_ahead(self, ref: Ref) -> None:
        if ref not in self._coming and self._ahead_bytes < self._store_bytes // AHEAD_FRACTION:
            self._spawn(self._ahead(ref))

    async def _ahead(self, ref: Ref) -> None:
        with suppress(Refusal):
            await self._restore(ref, PATIENCE_S)

    async def _restore(self, ref: Ref, patience_s: float) -> None:
        """Bring an object back, with whoever does so already."""
        deadline_s = time.monotonic() + patience_s
        while True:
            coming = self._coming.get(ref)
            is_ours = coming is None
            if coming is None:
                coming = self._coming[ref] = asyncio.ensure_future(self._bring(ref, patience_s))
                coming.add_done_callback(partial(self._has_come, ref))
            try:
                await asyncio.shield(coming)
            except Refusal:
                if is_ours or time.monotonic() >= deadline_s:  # theirs may have been the shorter patience
                    raise
            else:
                return

    def _has_come(self, ref: Ref, coming: asyncio.Future[None]) -> None:
        self._coming.pop(ref, None)
        if not coming.cancelled():
            coming.exception()  # whoever asked may have gone away: then nobody else looks at it

    async def _bring(self, ref: Ref, patience_s: float) -> None:
        restoring = await self._room_for(ref, patience_s)
        if restoring is None:
            return
        self._ahead_bytes += restoring.nbytes
        try:
            await self._in_thread(self._read, ref, restoring)
        finally:
            self._ahead_bytes -= restoring.nbytes

    async def _room_for(self, ref: Ref, patience_s: float) -> Restoring | None:
        """Memory for an object; None: it is there already."""
        deadline_s = time.monotonic() + patience_s
        try:
            while True:
                found = self._core.begin_restore(*ref)
                if not isinstance(found, int):
                    return found
                if found:
                    self._wanted_bytes[ref] = found
                    self._wanted.set()
                left_s = deadline_s - time.monotonic()
                if left_s <= 0:
                    kind, text = self.report(found)
                    raise Refusal(kind, f"no room to bring {_show(found)} back from disk. {text}")
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._room.wait(), min(left_s, PATIENCE_S))
        except KeyError:
            raise Refusal(Refused.LOST, "the object is gone: nobody held a reference to it any more") from None
        finally:
            self._wanted_bytes.pop(ref, None)

    def _read(self, ref: Ref, restoring: Restoring) -> None:
        """In a thread."""
        from shoal.node.spill_files import DamagedCopyError

        assert self._files is not None
        try:
            self._files.read(self._copies[restoring.place], restoring.view)
        except BaseException as error:
            restoring.abort()
            if not isinstance(error, (OSError, DamagedCopyError)):
                raise
            raise Refusal(
                Refused.LOST,
                f"{_show(restoring.nbytes)} that were spilled to {self._files.folder} cannot be read back: {error}. "
                "Run the task that made the value again",
            ) from error
        if restoring.commit():
            self.restored_bytes += restoring.nbytes
            if self._files.is_tight:
                self._free(self._core.forget(*ref))

    # -- copies of what is gone

    async def _forget_the_gone(self) -> None:
        while True:
            await self._written.wait()  # a node that spills nothing is not woken for it
            self._written.clear()
            while self._copies:
                await asyncio.sleep(GONE_PERIOD_S)
                await self._free_the_gone(GONE_LOOKS)

    async def _free_the_gone(self, looks: int) -> bool:
        """Give the places of objects that are gone back. True if there were any."""
        found = False
        while self._copies and (places := self._core.gone(looks)):
            await self._in_thread(self._free_all, places)
            found = True
        return found

    def _free_all(self, places: list[int]) -> None:
        for place in places:
            self._free(place)

    def _free(self, place: int) -> None:
        copy = self._copies.pop(place, None)
        if copy is not None and self._files is not None:
            self._files.free(copy)

    # -- inside

    def _in_thread(self, function: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        return asyncio.get_running_loop().run_in_executor(self._threads, partial(function, *args))

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def make_spiller(
    core: NodeCore, settings: NodeSettings, store_bytes: int, warn: Callable[[str], None], max_files: int
) -> Spiller:
    """The spiller of a node with these settings; what they leave open the environment says."""
    limit = spill_limit() if settings.object_spilling_limit is None else settings.object_spilling_limit
    folder = settings.object_spilling_directory or spill_dir()

    def open_files() -> SpillFiles:
        from shoal.node.spill_files import SpillFiles, default_folder

        return SpillFiles(folder or default_folder(), limit, max_files=max_files)

    return Spiller(SpillCore(core), None if limit == 0 else open_files, store_bytes, store_wait_s(), warn)


def _batches(victims: list[tuple[int, int, int, int]]) -> list[list[Ref]]:
    """What is not on disk yet, small values together."""
    batches: list[list[Ref]] = []
    room = 0
    for index, generation, nbytes, place in victims:
        if place:
            continue
        if nbytes > room:
            batches.append([])
            room = BATCH_BYTES
        batches[-1].append((index, generation))
        room -= min(nbytes, room)
    return batches


def _show(nbytes: int) -> str:
    return f"{nbytes / (1 << 20):,.1f} MiB"

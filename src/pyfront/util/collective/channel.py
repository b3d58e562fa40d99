# SPDX-License-Identifier: Apache-2.0
"""A group's shared memory as one rank sees it: saying how far it is, waiting for others, and who is to blame if they do
not come.

Words only grow, and each has one writer, so a rank may be killed or stopped at any point: the others see that its word
does not move, and its client record says whether it lives. A rank that gives up in the middle of an operation says so,
and nobody waits for it any more."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

import msgspec
import numpy as np

from shoal._core._node import Board
from shoal.death import one_line
from shoal.errors import (
    CollectiveError,
    CollectiveMismatchError,
    CollectiveRankDiedError,
    CollectiveTimeoutError,
    ShoalError,
)
from shoal.node.processes import is_stopped
from shoal.runtime import Runtime
from shoal.util.collective.layout import (
    IDENTITY,
    JOINED,
    LEFT,
    LEFT_BROKEN,
    LEFT_WELL,
    N_MAIL_SLOTS,
    N_SLOTS,
    N_TEXTS,
    REASON,
    TEXT_BYTES,
    Layout,
)
from shoal.util.collective.tensors import Array

LENGTH_BYTES = 4
ACTOR, TASK, DRIVER = "actor", "task", "driver"

E = TypeVar("E", bound=CollectiveError)


class Identity(msgspec.Struct, array_like=True, frozen=True):
    """Who a rank is, for the errors of others."""

    pid: int
    name: str  # of the actor; empty: a task or a driver
    role: str  # one of the words below


class Standing(NamedTuple):
    """Of a group: what this rank was told at the beginning."""

    name: str
    world_size: int
    rank: int
    timeout_s: float


class Channel:
    """One rank's share. One operation at a time."""

    def __init__(self, runtime: Runtime, board: Board, layout: Layout, standing: Standing) -> None:
        self.name, self.world_size, self.rank, self.timeout_s = standing
        self.runtime = runtime
        self.layout = layout
        self.reason = ""  # why it is of no further use
        self._board = board
        memory = np.frombuffer(memoryview(board), np.uint8)
        ranks = range(self.world_size)
        self._texts = [[memoryview(board)[layout.text(rank, at)] for at in range(N_TEXTS)] for rank in ranks]
        self.slots = [[memory[layout.slot(rank, at)] for at in range(N_SLOTS)] for rank in ranks]
        self.mail = [[memory[layout.slot(rank, N_SLOTS + at)] for at in range(N_MAIL_SLOTS)] for rank in ranks]
        self._parts: dict[tuple[int, np.dtype[Any]], list[Array]] = {}  # kept: small tensors come often
        self.tell = board.tell
        self.word_of = board.word_of

    def join(self) -> None:
        """Be there, and wait until all are. Raises as `wait`."""
        actor = self.runtime.actor
        role = ACTOR if actor is not None else DRIVER if self.runtime.is_driver else TASK
        name = "" if actor is None else actor.name or actor.class_name
        self.write(IDENTITY, msgspec.json.encode(Identity(os.getpid(), name, role)).decode())
        self._board.join()
        self.tell(JOINED, 1)
        self.wait(0, self.world_size, JOINED, 1)

    # -- texts

    def write(self, number: int, text: str) -> bytes:
        """One of our texts -> as it lies there. Others see it once they see a word that we tell afterwards."""
        data = text.encode("utf-8", "replace")[: TEXT_BYTES - LENGTH_BYTES]
        written = len(data).to_bytes(LENGTH_BYTES, "little") + data
        self._texts[self.rank][number][: len(written)] = written
        return written

    def read(self, rank: int, number: int) -> str:
        """A rank's text."""
        place = self._texts[rank][number]
        size = min(int.from_bytes(place[:LENGTH_BYTES], "little"), TEXT_BYTES - LENGTH_BYTES)
        return bytes(place[LENGTH_BYTES : LENGTH_BYTES + size]).decode("utf-8", "replace")

    # -- waiting

    def wait(self, first: int, last: int, word: int, least: int) -> None:
        """Until `word` of all ranks in `range(first, last)` is at least `least`.

        Raises CollectiveRankDiedError, CollectiveError if one of them has left, CollectiveTimeoutError."""
        if self._board.wait(first, last, word, least) >= last:
            return
        deadline_s = time.monotonic() + self.timeout_s
        while True:
            behind = [rank for rank in range(first, last) if self.word_of(rank, word) < least]
            for rank in behind:
                self._check(rank, word, least)
            if time.monotonic() >= deadline_s:
                raise self._too_late(behind)
            if self._board.wait(first, last, word, least) >= last:
                return

    def _check(self, rank: int, word: int, least: int) -> None:
        """Raises if nothing is to be expected of a rank any more."""
        is_gone = self._board.is_gone(rank)
        left = self.word_of(rank, LEFT)
        if not (is_gone or left) or self.word_of(rank, word) >= least:  # it may have come just before
            return
        if is_gone:
            raise self.died(rank)
        if left == LEFT_BROKEN:
            # Why it gave up is often that another one died: then that is what everybody is told.
            for other in range(self.world_size):
                if self._board.is_gone(other):
                    raise self.died(other)
            why = f"gave up: {self.read(rank, REASON)}"
        else:
            why = "has destroyed the group"
        raise self.error(CollectiveError(f"{self._who(rank)} of group {self.name!r} {why}"))

    def died(self, rank: int) -> CollectiveRankDiedError:
        """The error about a dead rank."""
        who = self._identity(rank)
        how = "a driver that is gone, and its job with it"
        if who is None or who.role != DRIVER:  # of drivers the daemon keeps no record
            try:
                how = one_line(self.runtime.calls.describe_death(*self._board.who(rank)))
            except ShoalError as error:
                how = str(error)
        died = CollectiveRankDiedError(
            f"{self._who(rank)} of group {self.name!r} died: {how}; destroy the group with destroy_collective_group() "
            "in the ranks that are left, and make another one"
        )
        died.rank = rank
        died.actor_name, died.pid = (who.name, who.pid) if who is not None else ("", 0)
        return self.error(died)

    def _too_late(self, behind: list[int]) -> CollectiveTimeoutError:
        names = ", ".join(f"{self._who(rank)}{self._state(rank)}" for rank in behind)
        error = CollectiveTimeoutError(
            f"group {self.name!r}: {names} did not come within {self.timeout_s:g} s; every rank has to make the same "
            "calls in the same order; `shoal stack` shows where each one is; give the group more time with timeout=..."
        )
        error.ranks = tuple(behind)
        return self.error(error)

    def _who(self, rank: int) -> str:
        who = self._identity(rank)
        if who is None:
            return f"rank {rank}"
        return f"rank {rank} ({who.role}{f' {who.name}' if who.name else ''}, pid {who.pid})"

    def _state(self, rank: int) -> str:
        who = self._identity(rank)
        if who is None:
            return ", which has not joined,"
        return ", which is stopped by a signal," if is_stopped(who.pid) else ""

    def _identity(self, rank: int) -> Identity | None:
        try:
            return msgspec.json.decode(self.read(rank, IDENTITY), type=Identity)
        except msgspec.MsgspecError:  # it has not come yet
            return None

    # -- agreement, and the end

    def differing(self, number: int, written: bytes, text: str) -> CollectiveMismatchError | None:
        """The error if a rank's text of this number is not `text`, `written` so by us; None if all agree."""
        if all(texts[number][: len(written)] == written for texts in self._texts):
            return None
        texts = {rank: self.read(rank, number) for rank in range(self.world_size)}
        others = {rank: found for rank, found in texts.items() if found != text}
        calls: dict[str, list[int]] = {}
        for rank, found in others.items():
            calls.setdefault(found, []).append(rank)
        said = "; ".join(f"{_ranks(ranks)} called {call}" for call, ranks in calls.items())
        return self.mismatch(f"rank {self.rank} called {text}, but {said}", tuple(others))

    def mismatch(self, text: str, ranks: tuple[int, ...]) -> CollectiveMismatchError:
        """The error about calls that do not fit together."""
        error = CollectiveMismatchError(f"group {self.name!r}: {text}; every rank has to make the same calls in order")
        error.ranks = ranks
        return self.error(error)

    def error(self, error: E) -> E:
        """An error of this group."""
        error.group_name = self.name
        return error

    def broken(self) -> CollectiveError:
        """The error of every call after one that broke off."""
        for rank in range(self.world_size):
            if self._board.is_gone(rank):
                return self.died(rank)
        return self.error(
            CollectiveError(
                f"group {self.name!r} is of no further use, because an operation broke off here ({self.reason}): "
                "destroy it with destroy_collective_group() in all ranks, and make another one"
            )
        )

    def give_up(self, error: BaseException) -> None:
        """This rank stops in the middle: nobody is to wait for it."""
        self.reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        with suppress(ShoalError):  # the node is gone, and everybody knows
            if not self.runtime.client.is_closed and not self.word_of(self.rank, LEFT):
                self.write(REASON, self.reason)
                self.tell(LEFT, LEFT_BROKEN)

    def destroy(self) -> None:
        """This rank leaves in good order."""
        with suppress(ShoalError):  # the node is gone, and everybody knows
            if not self.runtime.client.is_closed and not self.word_of(self.rank, LEFT):
                self.tell(LEFT, LEFT_WELL)

    def parts(self, rank: int, dtype: np.dtype[Any]) -> list[Array]:
        """A rank's slots as arrays."""
        found = self._parts.get((rank, dtype))
        if found is None:
            found = self._parts[rank, dtype] = [_typed(slot, dtype) for slot in self.slots[rank]]
        return found

    def mail_parts(self, rank: int, dtype: np.dtype[Any]) -> list[Array]:
        """A rank's slots of mail as arrays."""
        return [_typed(slot, dtype) for slot in self.mail[rank]]


def _typed(slot: Array, dtype: np.dtype[Any]) -> Array:
    return slot[: len(slot) // dtype.itemsize * dtype.itemsize].view(dtype)


def _ranks(ranks: list[int]) -> str:
    return f"rank {ranks[0]}" if len(ranks) == 1 else f"ranks {', '.join(map(str, ranks))}"

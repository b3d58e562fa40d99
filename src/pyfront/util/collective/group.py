# SPDX-License-Identifier: Apache-2.0
"""A group as one rank has it: how it is formed, and one operation at a time.

Rank 0 makes the group's memory, an object of the store, and offers it under the group's name; the daemon lends it to
the others as they come. From then on the ranks need nobody: the memory goes when the last of them lets go of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from shoal._core._node import Board, ObjectRef, blocked_in, board_bytes
from shoal.errors import CollectiveError, CollectiveTimeoutError
from shoal.link import RequestRefused
from shoal.protocol.groups import CloseGroup, JoinGroup, OpenGroup
from shoal.protocol.messages import R, Refused, Request
from shoal.runtime import Runtime
from shoal.util.collective.channel import Channel, Standing
from shoal.util.collective.layout import (
    N_MAIL_SLOTS,
    N_SLOTS,
    PAGE,
    Layout,
    slot_bytes_for,
    words_of,
)
from shoal.util.collective.operations import Operations


class Group:
    """One rank of a group that is complete. Threads take turns."""

    def __init__(self, channel: Channel) -> None:
        self.name = channel.name
        self.world_size = channel.world_size
        self.rank = channel.rank
        self.runtime = channel.runtime
        self._channel = channel
        self.operations = Operations(channel)
        self._lock = threading.Lock()

    def do(self, operation: Callable[..., None], *args: Any) -> None:
        """Run one of `operations`. Raises as `Operations.do`."""
        with self._lock:
            self.operations.do(operation, *args)

    def destroy(self) -> None:
        """Leave: whoever waits for this rank gets an error. Repeating it has no effect."""
        self._channel.destroy()


def form(runtime: Runtime, standing: Standing) -> Group:
    """Wait until all ranks are there, at most the timeout.

    Raises CollectiveTimeoutError, CollectiveError for a rank or name that is taken, CollectiveRankDiedError."""
    try:
        memory = _make_memory(runtime, standing) if standing.rank == 0 else _join_memory(runtime, standing)
        channel = _channel(runtime, standing, memory)
        try:
            channel.join()
        except BaseException as error:
            channel.give_up(error)
            raise
    except BaseException:
        runtime.link.tell(CloseGroup(standing.name))
        raise
    return Group(channel)


def ask(runtime: Runtime, name: str, message: Request[R]) -> R:
    """The daemon's answer about a group. Raises CollectiveError, CollectiveTimeoutError."""
    try:
        return runtime.link.request(message)
    except RequestRefused as refused:
        error = (CollectiveTimeoutError if refused.kind == Refused.TIMED_OUT else CollectiveError)(str(refused))
        error.group_name = name
        if isinstance(error, CollectiveTimeoutError):
            error.ranks = (0,)
        raise error from None


def _make_memory(runtime: Runtime, standing: Standing) -> ObjectRef[Any]:
    client, n = runtime.client, standing.world_size
    layout = Layout(n, slot_bytes_for(n, runtime.config.store_bytes), board_bytes(n, words_of(n)))
    buffer = client.create(layout.total_bytes)
    buffer.view[: layout.head_bytes] = bytes(layout.head_bytes)
    memory = client.seal_array(buffer, ("|u1", (layout.total_bytes,), "C"), stays_writable=True)
    client.share(memory)
    ask(runtime, standing.name, OpenGroup(standing.name, n, memory.index, memory.generation))
    return memory


def _join_memory(runtime: Runtime, standing: Standing) -> ObjectRef[Any]:
    name, n, rank, timeout_s = standing
    message = JoinGroup(name, n, rank, timeout_s)
    location = blocked_in(runtime.client, ask, runtime, name, message)  # other ranks may need this worker's CPU
    return runtime.client.adopt(location.index, location.generation)


def _channel(runtime: Runtime, standing: Standing, memory: ObjectRef[Any]) -> Channel:
    n = standing.world_size
    board = Board(runtime.client, memory, n, standing.rank, words_of(n))
    empty = Layout(n, 0, board_bytes(n, words_of(n)))
    slot_bytes = (board.nbytes - empty.head_bytes) // (n * (N_SLOTS + N_MAIL_SLOTS))
    return Channel(runtime, board, empty._replace(slot_bytes=slot_bytes // PAGE * PAGE), standing)

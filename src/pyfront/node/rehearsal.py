# SPDX-License-Identifier: Apache-2.0
"""The first moments of a worker, played through in the zygote, so that a fork finds them learned.

When the interpreter runs a function for the first times it writes: specialised instructions, versions of types, the
cache of methods. In a fork each such write is a page copied. What has run often enough in the zygote is written there
once, and runs faster in every child. The stand-ins have the shape of the real ones; the segment stays unmapped.
"""

from __future__ import annotations

import os
import signal
import socket
from types import SimpleNamespace
from typing import Any, cast

import msgspec

from shoal import runtime
from shoal._core._node import Client
from shoal.ids import CONSTRUCTOR_KEY, function_key, method_key
from shoal.node.newborn import attach
from shoal.protocol.framing import encode_frame
from shoal.protocol.messages import NodeConfig, Welcome, encode
from shoal.protocol.orders import ActorOrder, StartOrder
from shoal.task.actor_shape import ActorShape, MethodShape
from shoal.task.function_table import pickle_record
from shoal.worker.main import run

TIMES = 24  # the interpreter specialises code after 8 calls, and looks at what it did some more times
ROOT = 1


class Part:
    """The actor of the play."""

    def speak(self, line: str) -> str:
        """The one method."""
        return line


class StandIn:
    """A client that claims the given tasks, one after the other, and should exit then."""

    def __init__(self, tasks: list[SimpleNamespace]) -> None:
        self._tasks = tasks
        self.should_exit = False

    def next_task(self, timeout_s: float | None = None) -> SimpleNamespace | None:
        """The next task of the play."""
        if self._tasks:
            return self._tasks.pop(0)
        self.should_exit = True
        return None

    def memory_limit(self, class_id: int) -> int:
        """There is none."""
        return 0

    def class_tag(self, class_id: int) -> int:
        """It is of the usual ones."""
        return 0

    def set_current(self, task: object) -> None:
        """Nobody submits anything here."""

    def finish(self, task: object, values: object) -> bool:
        """Nobody waits for the value."""
        return True

    fail = finish

    def flush(self) -> None:
        """There are no references."""

    def surrender(self, task: object) -> bool:
        """Nobody cancels anything."""
        return False

    retry = put_back = surrender

    def leave(self) -> None:
        """Nor asked to leave."""

    def interrupt(self, signal_number: int, frame: object) -> None:
        """Nor interrupts it."""


def rehearse() -> None:
    """Play a worker's and an actor's start and first calls. Raises nothing that the real ones would not."""
    record = pickle_record("Part", Part)
    key = function_key(record)
    meta = msgspec.msgpack.encode(ActorShape({"speak": MethodShape()}))
    actor = ActorOrder(1, key, "Part", None, "", 1, False, meta, record)
    config = NodeConfig("", "", "", 0, {"CPU": 1.0}, 0)
    welcome = encode_frame(0, encode(Welcome(1, 1, ROOT, "", config)))
    for _ in range(TIMES):
        _play(welcome, StartOrder(1, ROOT, b"", [], actor), [_task(CONSTRUCTOR_KEY, creates_actor=True), _call()])
        _play(welcome, StartOrder(1, ROOT, b"", [], None), [])
    signal.signal(signal.SIGURG, signal.SIG_DFL)  # a worker sets its own, others want none


def _play(welcome: bytes, order: StartOrder, tasks: list[SimpleNamespace]) -> None:
    daemon, link_end = socket.socketpair()
    nothing = os.open(os.devnull, os.O_RDONLY)
    socket.send_fds(daemon, [welcome], [nothing, nothing])
    os.close(nothing)
    link, client, greeting = attach(link_end.detach(), lambda *_: StandIn(tasks))
    try:
        run(link, cast(Client, client), greeting, order)
    finally:
        runtime.install(None)
        link.close()
        daemon.close()


def _call() -> SimpleNamespace:
    return _task(method_key("speak"), "hello")


def _task(key: bytes, *args: Any, creates_actor: bool = False) -> SimpleNamespace:
    return SimpleNamespace(
        key=key, num_returns=1, class_id=1, creates_actor=creates_actor, lease={}, load=lambda: (args, {})
    )

# SPDX-License-Identifier: Apache-2.0
"""The worker's loop when a cancel interrupts it where it is ending a call already."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from shoal._core._node import Client
from shoal.task.accelerators import Accelerators
from shoal.task.function_table import FunctionTable, Loaded
from shoal.worker.allowance import Allowance
from shoal.worker.executor import run_tasks


class StandIn:
    """A client with two tasks. While the first one's error is sealed, an interrupt comes."""

    def __init__(self, *, is_cancelled: bool) -> None:
        self.tasks = [SimpleNamespace(key=b"bad", **TASK), SimpleNamespace(key=b"good", **TASK)]
        self.is_cancelled = is_cancelled
        self.should_exit = False
        self.current: object = None
        self.events: list[str] = []
        self.run_inline: Callable[[Any], None]

    def next_task(self, timeout_s: float | None = None) -> object:
        assert self.current is None
        self.should_exit = not self.tasks
        return self.tasks.pop(0) if self.tasks else None

    def set_current(self, task: object) -> None:
        self.current = task

    def memory_limit(self, class_id: int) -> int:
        return 0

    def finish(self, task: object, values: object) -> bool:
        self.events.append(f"returned {values}")
        return True

    def fail(self, task: object, payload: bytes, refs: object) -> bool:
        self.events.append("interrupted")
        raise KeyboardInterrupt

    def surrender(self, task: object) -> bool:
        is_late = bool(self.events)  # the first look was before the cancel
        self.events.append("looked")
        return is_late and self.is_cancelled

    def retry(self, task: object) -> bool:
        raise AssertionError("nothing is retried here")

    def put_back(self, task: object) -> bool:
        raise AssertionError("nothing is put back here")

    def leave(self) -> None:
        raise AssertionError("there is no reason to leave")


TASK: dict[str, Any] = {"num_returns": 1, "class_id": 1, "lease": {}, "load": lambda: ((), {})}


def fail() -> None:
    raise ValueError("bad")


def run(client: StandIn) -> None:
    functions = FunctionTable(lambda *_: None, lambda _: None)
    functions.find = {b"bad": Loaded("bad", fail), b"good": Loaded("good", lambda: 5)}.get
    run_tasks(cast(Client, client), functions, Accelerators(0), cast(Allowance, None), "node", lambda _: None)


def test_an_interrupt_in_the_error_path_of_a_cancelled_task_does_not_end_the_worker() -> None:
    client = StandIn(is_cancelled=True)
    run(client)
    assert client.events == ["looked", "interrupted", "looked", "returned (5,)"]


def test_another_interrupt_ends_it() -> None:
    client = StandIn(is_cancelled=False)
    with pytest.raises(KeyboardInterrupt):
        run(client)

# SPDX-License-Identifier: Apache-2.0
"""Which task runs here now: written by the worker before each call, read by the runtime context and by output.

A worker or actor that runs one call at a time writes two attributes. Where calls overlap (threads, coroutines) each
call also sets a context variable, which goes first.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import NamedTuple

from shoal._core._node import Task


class Running(NamedTuple):
    """A task with the name that errors and output show."""

    task: Task
    name: str


class LastCall:
    """The call of a process that runs one at a time; None between calls."""

    __slots__ = ("is_replayed", "name", "task")

    def __init__(self) -> None:
        self.task: Task | None = None
        self.name = ""
        self.is_replayed = False  # an actor runs it once more after a restart (worker/checkpoints.py)


last_call = LastCall()
overlapping: ContextVar[Running | None] = ContextVar("shoal_running", default=None)


def running() -> Running | None:
    """The task that the calling code belongs to; None in a driver and between tasks."""
    here = overlapping.get()
    if here is not None:
        return here
    task = last_call.task
    return None if task is None else Running(task, last_call.name)

# SPDX-License-Identifier: Apache-2.0
"""Errors that the core sealed by number, told in words: who died, of what, and what to do.

The core knows a code and a client record; the daemon knows the process (signal, exit code, last lines of stderr).
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping

from shoal._core import _node
from shoal.errors import (
    ActorDiedError,
    ObjectLostError,
    ObjectStoreFullError,
    ShoalError,
    TaskCancelledError,
    WorkerCrashedError,
)
from shoal.protocol.messages import Death
from shoal.serialization.failure import decode_error

SHOWN_LINES = 10

Describe = Callable[[int, int, int], Death]
"""(client index, client epoch, class id of an actor or -1) -> how that process ended."""


def system_error(code: int, info: Mapping[str, int], describe: Describe) -> ShoalError:
    """The exception for an error that the core sealed. Never raises: without an answer the text says less."""
    if code == _node.ERR_WORKER_DIED:
        return worker_crashed(_ask(describe, info, -1))
    if code == _node.ERR_ACTOR_DIED:
        return actor_died(_ask(describe, info, info.get("class_id", -1)))
    if code == _node.ERR_CANCELLED:
        return TaskCancelledError("the task was cancelled before it had a result")
    if code == _node.ERR_ROOT_ENDED:
        return TaskCancelledError("the job that submitted the task ended before the task had a result")
    if code == _node.ERR_STORE_FULL:
        return ObjectStoreFullError(
            "the task's result found no room in the object store; drop refs that are no longer needed, return less at "
            "once, or give init() a larger object_store_memory"
        )
    if code == _node.ERR_DAMAGED:
        return ObjectLostError("the object's bytes were found damaged; compute it again, and please report this")
    return ShoalError(f"the node sealed an error of unknown code {code}")


def worker_crashed(death: Death) -> WorkerCrashedError:
    """The error for a task whose worker died."""
    task = f" while it ran {death.name}" if death.name else ""
    error = WorkerCrashedError(
        f"worker {_process(death)} died{task}: {_manner(death)}; the task has used its retries, raise max_retries if "
        f"it is safe to run it again{_last_words(death)}"
    )
    _fill(error, death)
    return error


def actor_died(death: Death) -> ActorDiedError:
    """The error for a call of an actor that is gone."""
    who = f"actor {death.name}" if death.name else "the actor"
    cause = decode_error(death.payload) if death.payload else None
    if cause is not None:
        text = f"{who} could not be created, its constructor failed: {cause}"
    elif death.reason:
        text = f"{who} ({_process(death)}) is gone: {death.reason}; create a new one"
    else:
        text = f"{who} ({_process(death)}) died: {_manner(death)}; create a new one{_last_words(death)}"
    error = ActorDiedError(text)
    error.actor_name = death.name
    error.cause = cause
    _fill(error, death)
    return error


def _fill(error: WorkerCrashedError | ActorDiedError, death: Death) -> None:
    error.pid = death.pid
    error.signal = death.signal
    error.exit_code = death.exit_code
    error.stderr = tuple(death.stderr)


def _ask(describe: Describe, info: Mapping[str, int], class_id: int) -> Death:
    try:
        return describe(info.get("client", 0), info.get("epoch", 0), class_id)
    except ShoalError:
        return _from_status(info.get("pid", 0), info.get("status", -1))


def _from_status(pid: int, status: int) -> Death:
    if status < 0:
        return Death(pid=pid)
    number = status & 0x7F  # the wait status: low bits are the signal, the next byte the exit code
    return Death(pid=pid, signal=number or None, exit_code=None if number else status >> 8)


def _process(death: Death) -> str:
    return f"pid {death.pid}" if death.pid else "process"


def _manner(death: Death) -> str:
    if death.signal is not None:
        try:
            name = signal.Signals(death.signal).name
        except ValueError:
            name = f"signal {death.signal}"
        hint = ", as the kernel does when memory runs out" if death.signal == signal.SIGKILL else ""
        return f"killed by {name}{hint}"
    if death.exit_code is not None:
        return f"it exited with code {death.exit_code}"
    return death.reason or "how is not known"


def _last_words(death: Death) -> str:
    lines = death.stderr[-SHOWN_LINES:]
    shown = "".join(f"\n  {line}" for line in lines)
    log = f"\nfull log: {death.log_path}" if death.log_path else ""
    return (f"\nits last lines on stderr:{shown}" if lines else "") + log

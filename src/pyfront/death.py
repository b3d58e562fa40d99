# SPDX-License-Identifier: Apache-2.0
"""Errors that the core sealed by number, told in words: who died, of what, and what to do.

The core knows a code and a client record; the daemon knows the process (signal, exit code, last lines of stderr).
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping

from shoal._core import _node
from shoal.actor_exit import CONSTRUCTOR_FAILED
from shoal.errors import (
    ActorDiedError,
    ActorOutOfMemoryError,
    ActorPlacementGroupRemoved,
    ActorUnavailableError,
    ObjectLostError,
    ObjectStoreFullError,
    OutOfMemoryError,
    RuntimeEnvSetupError,
    ShoalError,
    TaskCancelledError,
    TaskPlacementGroupRemoved,
    TaskTimeoutError,
    WorkerCrashedError,
)
from shoal.memory import show
from shoal.protocol.messages import Death, MemoryEnd
from shoal.serialization.failure import decode_error

SHOWN_LINES = 10

Describe = Callable[[int, int, int], Death]
"""(client index, client epoch, class id of an actor or -1) -> how that process ended."""


def system_error(code: int, info: Mapping[str, int], describe: Describe, name: str = "") -> ShoalError:
    """The exception for an error that the core sealed, about a task of this name if it is known.

    Never raises: without an answer of the daemon's the text says less."""
    if code in (_node.ERR_WORKER_DIED, _node.ERR_OUT_OF_MEMORY):
        death = _ask(describe, info, -1)
        if code == _node.ERR_OUT_OF_MEMORY or death.memory is not None:
            return out_of_memory(death)
        return worker_crashed(death)
    if code == _node.ERR_ACTOR_DIED:
        death = _ask(describe, info, info.get("class_id", -1))
        return setup_failed(death, "create a new one to try again") if death.is_setup else actor_died(death)
    if code == _node.ERR_ENVIRONMENT:
        return setup_failed(_ask(describe, info, -1), "later tasks try again")
    if code == _node.ERR_ACTOR_UNAVAILABLE:
        return actor_unavailable(_ask(describe, info, -1))
    if code == _node.ERR_CANCELLED:
        return _cancelled(name, f"{name or 'the task'} was cancelled before it had a result")
    if code == _node.ERR_ROOT_ENDED:
        return _cancelled(name, f"the job that submitted {name or 'the task'} ended before it had a result")
    if code == _node.ERR_TIMED_OUT:
        return _timed_out(name, info.get("class_id", 0) / 1000)
    if code == _node.ERR_GROUP_REMOVED:
        return _group_removed(name, _ask(describe, info, info.get("class_id", -1)))
    if code == _node.ERR_STORE_FULL:
        return ObjectStoreFullError(
            "the task's result found no room in the object store; drop refs that are no longer needed, return less at "
            "once, or give init() a larger object_store_memory"
        )
    if code == _node.ERR_DAMAGED:
        return ObjectLostError("the object's bytes were found damaged; compute it again, and please report this")
    return ShoalError(f"the node sealed an error of unknown code {code}")


def _cancelled(name: str, text: str) -> TaskCancelledError:
    error = TaskCancelledError(text)
    error.task_name = name
    return error


def _timed_out(name: str, timeout_s: float) -> TaskTimeoutError:
    error = TaskTimeoutError(
        f"{name or 'the task'} was ended, because it ran for longer than its timeout of {timeout_s:g} s; give it more "
        "with timeout=..., or let it do less at once"
    )
    error.task_name = name
    error.timeout_s = timeout_s
    return error


def setup_failed(death: Death, advice: str) -> RuntimeEnvSetupError:
    """The error for a call whose environment could not be made."""
    lines = "".join(f"\n  {line}" for line in death.stderr)
    shown = f"\nthe installer's last lines:{lines}" if lines else ""
    reason = death.reason or "its environment could not be made"
    error = RuntimeEnvSetupError(f"{reason}; {advice}{shown}")
    error.output = tuple(death.stderr)
    return error


def _group_removed(name: str, death: Death) -> TaskPlacementGroupRemoved:
    why = death.reason or "its placement group was removed"
    error = TaskPlacementGroupRemoved(
        f"{name or 'the task'} was ended before it had a result: {why}; submit it to another group, or to none"
    )
    error.task_name = name
    return error


def worker_crashed(death: Death) -> WorkerCrashedError:
    """The error for a task whose worker died."""
    task = f" while it ran {death.name}" if death.name else ""
    error = WorkerCrashedError(
        f"worker {_process(death)} died{task}: {_manner(death)}; the task has used its retries, raise max_retries if "
        f"it is safe to run it again{_last_words(death)}"
    )
    _fill(error, death)
    return error


def out_of_memory(death: Death) -> OutOfMemoryError:
    """The error for a task whose process was ended for the memory it held."""
    error = OutOfMemoryError(_memory_text(death))
    _fill_memory(error, death)
    return error


def actor_died(death: Death) -> ActorDiedError:
    """The error for a call of an actor that is gone."""
    if death.memory is not None:
        lost = ActorOutOfMemoryError(f"actor {_memory_text(death)}")
        lost.actor_name = death.memory.name or death.name
        _fill(lost, death)
        _fill_memory(lost, death)
        return lost
    who = f"actor {death.name}" if death.name else "the actor"
    cause = decode_error(death.payload) if death.payload else None
    if cause is not None and death.reason in ("", CONSTRUCTOR_FAILED):
        text = f"{who} could not be created, {CONSTRUCTOR_FAILED}: {cause}"
    elif cause is not None:
        text = f"{who} is gone, {death.reason}: {cause}"
    elif death.reason:
        text = f"{who} ({_process(death)}) is gone: {death.reason}; create a new one"
    else:
        text = f"{who} ({_process(death)}) died: {_manner(death)}; create a new one{_last_words(death)}"
    if death.earlier:
        text += "\nit was restarted before; its earlier processes ended so:" + "".join(
            f"\n  {end}" for end in death.earlier
        )
    error = ActorPlacementGroupRemoved(text) if death.is_of_group else ActorDiedError(text)
    if isinstance(cause, OutOfMemoryError):
        error = ActorOutOfMemoryError(text)
        error.__dict__.update({name: getattr(cause, name) for name in ("peak_bytes", "limit_bytes", "node_state")})
        error.task_name = cause.task_name
    error.actor_name = death.name
    error.cause = cause
    _fill(error, death)
    return error


def actor_unavailable(death: Death) -> ActorUnavailableError:
    """The error for a call that an actor's process died in, when another process follows."""
    who = f"actor {death.name}" if death.name else "the actor"
    how = _memory_text(death) if death.memory is not None else death.reason or _manner(death)
    left = "the call may have run in part"
    if death.has_checkpoints:
        left = "its state is as if the call had not been made, though what that did elsewhere may stay"
    error = ActorUnavailableError(
        f"{who} ({_process(death)}) died in this call: {how}; it is restarted, and {left}: make it again, or let calls "
        f"be repeated with max_task_retries{_last_words(death)}"
    )
    error.actor_name = death.name
    error.pid, error.signal, error.exit_code = death.pid, death.signal, death.exit_code
    error.stderr = tuple(death.stderr)
    return error


def _fill(error: WorkerCrashedError | ActorDiedError, death: Death) -> None:
    error.pid = death.pid
    error.signal = death.signal
    error.exit_code = death.exit_code
    error.stderr = tuple(death.stderr)


def _fill_memory(error: OutOfMemoryError, death: Death) -> None:
    error.pid = death.pid
    if death.memory is not None:
        error.task_name = death.memory.name
        error.peak_bytes = death.memory.peak_bytes
        error.limit_bytes = death.memory.limit_bytes or None
        error.node_state = death.memory.node


def _memory_text(death: Death) -> str:
    end = death.memory
    if end is None:
        return f"{death.name or 'a task'} ({_process(death)}) was ended for the memory it held{_last_words(death)}"
    who = f"{end.name or death.name or 'a task'} ({_process(death)})"
    node = f"the node then: {end.node}"
    if end.cause == MemoryEnd.LIMIT:
        return (
            f"{who} was ended: it held {show(end.peak_bytes)} of private memory, and its limit is "
            f"{show(end.limit_bytes)} (memory={end.limit_bytes}); once more it would hold as much, so it is not tried "
            f"again: give it more with memory=..., or let it hold less at a time; {node}"
        )
    if end.cause == MemoryEnd.PRESSURE:
        tries = f", the last of {end.n_ended} attempts that ended so" if end.n_ended > 1 else ""
        return (
            f"{who} was ended{tries}, because the node ran short of memory; it held {show(end.peak_bytes)}; demand "
            f"what calls need with memory=..., so that fewer run at a time, and give tasks max_retries; {node}"
        )
    return (
        f"{who} was killed by SIGKILL, probably by the kernel for want of memory: its count of such kills rose at that "
        f"time; demand what calls need with memory=..., so that fewer run at a time; {node}"
    )


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


def one_line(death: Death) -> str:
    """How a process ended, for a list of several."""
    return f"{_process(death)}: {death.reason or _manner(death)}"


def _process(death: Death) -> str:
    return f"pid {death.pid}" if death.pid else "process"


def _manner(death: Death) -> str:
    if death.signal is not None:
        try:
            name = signal.Signals(death.signal).name
        except ValueError:
            name = f"signal {death.signal}"
        return f"killed by {name}"
    if death.exit_code is not None:
        return f"it exited with code {death.exit_code}"
    return death.reason or "how is not known"


def _last_words(death: Death) -> str:
    lines = death.stderr[-SHOWN_LINES:]
    shown = "".join(f"\n  {line}" for line in lines)
    log = f"\nfull log: {death.log_path}" if death.log_path else ""
    return (f"\nits last lines on stderr:{shown}" if lines else "") + log

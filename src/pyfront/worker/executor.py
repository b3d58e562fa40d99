# SPDX-License-Identifier: Apache-2.0
"""The loop of a plain worker: claim a task, run it, seal its returns. One thread, nothing else in the loop."""

from __future__ import annotations

from collections.abc import Callable

from shoal._core._node import Client, Task
from shoal.task.accelerators import Accelerators
from shoal.task.function_table import FunctionTable
from shoal.task.running import last_call
from shoal.worker.allowance import Allowance
from shoal.worker.outcome import Outcomes, let_go

OWN_FRAMES = 1  # of a traceback: `run` below


def run_tasks(
    client: Client,
    functions: FunctionTable,
    accelerators: Accelerators,
    allowance: Allowance,
    node: str,
    enter: Callable[[int], None],
    idle_exit_s: float | None = None,
) -> None:
    """Run tasks until this worker is told to exit, or finds nothing to do for `idle_exit_s` seconds (None: ever).

    `enter` is called with the class of a task that is of another one than the last."""
    next_task = client.next_task
    run, nested = (_runner(client, functions, accelerators, allowance, Outcomes(client, node), enter) for _ in range(2))
    client.run_inline = _inline(client, nested, enter)
    client.is_sole = True
    functions.on_last_call = client.leave
    while True:
        task = next_task(idle_exit_s)
        if task is not None:
            try:
                run(task)
            except KeyboardInterrupt:
                _recover(client, task)
            del task  # the next claim may wait long: hold nothing meanwhile
        elif idle_exit_s is not None or client.should_exit:
            return


def _inline(client: Client, run: Callable[[Task], None], enter: Callable[[int], None]) -> Callable[[Task], None]:
    """`run` for a task that is awaited by the current one, on the same stack: what is current comes back afterwards."""

    def run_inline(task: Task) -> None:
        outer, name = last_call.task, last_call.name
        enter(task.class_id)
        try:
            run(task)
        except KeyboardInterrupt:
            _recover(client, task)
        finally:
            last_call.task, last_call.name = outer, name
            client.set_current(outer)
            if outer is not None:
                enter(outer.class_id)

    return run_inline


def _recover(client: Client, task: Task) -> None:
    """A cancel has interrupted `run` where it was ending a call already. Re-raises what is none."""
    if not client.surrender(task):
        raise  # called while the interrupt is handled
    last_call.task = None
    client.set_current(None)
    if client.memory_limit(task.class_id):
        client.leave()  # the limit may be in force still


def _runner(
    client: Client,
    functions: FunctionTable,
    accelerators: Accelerators,
    allowance: Allowance,
    outcomes: Outcomes,
    enter: Callable[[int], None],
) -> Callable[[Task], None]:
    find, begin_call = functions.find, functions.begin_call
    traits, retry, put_back = functions.traits, client.retry, client.put_back
    returned = outcomes.returned
    set_current = client.set_current
    class_id = -1
    has_accelerators = False
    limit = 0

    def run(task: Task) -> None:
        nonlocal class_id, has_accelerators, limit
        name = "a task"
        is_limited = False
        set_current(task)
        try:
            key = task.key
            name, function = find(key) or begin_call(key)
            last_call.task = task
            last_call.name = name
            if has_accelerators or task.class_id != class_id:
                if class_id >= 0 and accelerators.are_others(task.lease) and put_back(task):
                    return
                class_id = task.class_id
                has_accelerators = accelerators.show(task.lease)
                limit = client.memory_limit(class_id)
                enter(class_id)
            if limit:
                is_limited = True
                allowance.begin(limit)
            args, kwargs = task.load()
            returned(task, name, function(*args, **kwargs))
        except BaseException as error:
            told = allowance.explain(error, name) if is_limited else error
            if traits(task.key).is_retried(error) and retry(task):
                let_go(error)
            else:
                outcomes.raised(task, name, told, OWN_FRAMES)
            del told  # it refers to this frame: kept here it would keep what the call referred to
        finally:
            last_call.task = None
            set_current(None)
            if is_limited and allowance.end():
                client.leave()  # the next one should not begin with what this one left
            if has_accelerators and traits(task.key).max_calls is None and accelerators.is_fixed():
                client.leave()  # with what it holds on the device

    return run

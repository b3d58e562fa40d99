# SPDX-License-Identifier: Apache-2.0
"""The loop of an actor that runs one call at a time and has checkpoints."""

from __future__ import annotations

from shoal._core._node import RETURNS_DYNAMIC, RETURNS_STREAM, Client, Task
from shoal.task.running import last_call
from shoal.worker.actor_state import ActorState
from shoal.worker.checkpoints import Checkpoints
from shoal.worker.outcome import several

OWN_FRAMES = 2  # of a method's traceback: `_run` and `_call` below


def serve_with_checkpoints(client: Client, state: ActorState, checkpoints: Checkpoints) -> None:
    """Run the actor's calls until it ends."""
    client.is_sole = True
    for first in state.wait_for_constructor(client):
        if not state.is_over:
            _run(client, state, checkpoints, first)
    next_task = client.next_task
    while not state.is_over:
        task = next_task()
        if task is not None:
            _run(client, state, checkpoints, task)
            del task  # the next claim may wait long: hold nothing meanwhile
        elif client.should_exit:
            return


def _run(client: Client, state: ActorState, checkpoints: Checkpoints, task: Task) -> None:
    name = last_call.name = state.name_of(task)
    is_repeated = True
    while is_repeated and not state.is_over:
        is_repeated = False
        last_call.task = task
        client.set_current(task)
        try:
            state.returned(task, name, _call(state, checkpoints, task, name))
        except BaseException as error:
            is_repeated = state.is_repeated(task, error)
            if not is_repeated:
                state.raised(task, name, error, OWN_FRAMES)
        finally:
            client.set_current(None)
            last_call.task = None
        checkpoints.after_call(state)  # at once after an attempt that failed: what it did is not in the log


def _call(state: ActorState, checkpoints: Checkpoints, task: Task, name: str) -> object:
    """Run the method; note in the log that it was entered, and whether it raised: that is what can be repeated."""
    log = checkpoints.log
    log.forget(task)  # what an earlier attempt noted
    method = state.target(task)
    if task.num_returns == RETURNS_STREAM:
        raise ValueError(
            f'{name} was called with num_returns="streaming", and its actor has checkpoint_every: items that were '
            "taken while a call ran cannot be taken back when it is repeated; let it return a list"
        )
    args, kwargs = task.load()
    log.begin(task)
    try:
        value = method(*args, **kwargs)
        return several(name, value, task.num_returns) if 1 < task.num_returns < RETURNS_DYNAMIC else value
    except BaseException:
        log.raised(task)
        raise

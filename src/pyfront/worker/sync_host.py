# SPDX-License-Identifier: Apache-2.0
"""The loop of an actor that runs one call at a time, on the process's main thread."""

from __future__ import annotations

from shoal._core._node import Client, Task
from shoal.task.running import last_call
from shoal.worker.actor_state import ActorState

OWN_FRAMES = 1  # of a method's traceback: `run_call` below


def serve_one_at_a_time(client: Client, state: ActorState) -> None:
    """Run the actor's calls until it ends."""
    client.is_sole = True
    for first in state.wait_for_constructor(client):
        if not state.is_over:
            _run(client, state, first)
    next_task = client.next_task
    while not state.is_over:
        task = next_task()
        if task is not None:
            _run(client, state, task)
            del task  # the next claim may wait long: hold nothing meanwhile
        elif client.should_exit:
            return


def _run(client: Client, state: ActorState, task: Task) -> None:
    last_call.task = task
    last_call.name = state.name_of(task)
    run_call(client, state, task, last_call.name)
    last_call.task = None


def run_call(client: Client, state: ActorState, task: Task, name: str) -> None:
    """Run one call on this thread and seal what it came to."""
    while True:  # for each attempt
        client.set_current(task)
        try:
            method = state.target(task)
            args, kwargs = task.load()
            state.returned(task, name, method(*args, **kwargs))
        except BaseException as error:
            if not state.is_repeated(task, error):
                state.raised(task, name, error, OWN_FRAMES)
                return
        else:
            return
        finally:
            client.set_current(None)

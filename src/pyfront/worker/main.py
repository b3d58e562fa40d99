# SPDX-License-Identifier: Apache-2.0
"""A worker's life, from its start order to its exit."""

from __future__ import annotations

import gc
from _signal import SIGURG  # type: ignore[import-not-found]  # `signal` makes members of enumerations of numbers
from _signal import signal as set_handler
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from shoal._core._node import Client, ObjectRef
from shoal.hooks import set_hooks
from shoal.link import Link
from shoal.memory import Meter
from shoal.protocol.messages import Welcome
from shoal.protocol.orders import ActorOrder, StartOrder
from shoal.runtime import Runtime, install
from shoal.task.accelerators import Accelerators
from shoal.task.actor_shape import ActorShape
from shoal.task.running import running
from shoal.worker.actor_state import ActorState, Creation
from shoal.worker.allowance import Allowance
from shoal.worker.executor import run_tasks
from shoal.worker.lanes import Lanes
from shoal.worker.outcome import Outcomes
from shoal.worker.streams import flush_output, name_output

Step = Callable[[ActorState], None]
decode_shape = msgspec.msgpack.Decoder(ActorShape).decode


def run(link: Link, client: Client, welcome: Welcome, order: StartOrder) -> None:
    """Run tasks, or be one actor; returns when the process should exit with code 0."""
    runtime = Runtime(client, link, welcome, is_driver=False)
    set_hooks(client, runtime.calls, runtime.functions)
    install(runtime)
    runtime.environment = order.environment if order.actor is None else order.actor.environment
    link.on_retire = client.leave
    accelerators = runtime.accelerators = Accelerators(int(welcome.config.resources.get("GPU", 0)))
    allowance = Allowance(client, Meter())
    gc.freeze()  # what the zygote imported lives as long as the process: collections need not look at it
    try:
        if order.actor is None:
            set_handler(SIGURG, client.interrupt)
            name_output(_name_of_running)
            run_tasks(
                client,
                runtime.functions,
                accelerators,
                allowance,
                welcome.config.node_id,
                runtime.enter,
                order.idle_exit_s,
            )
        else:
            name = order.actor.name or order.actor.class_name
            name_output(partial(str, name))
            _be_actor(runtime, order.actor, accelerators, allowance)
    finally:
        flush_output()


def _name_of_running() -> str:
    here = running()
    return "" if here is None else here.name


def _be_actor(runtime: Runtime, order: ActorOrder, accelerators: Accelerators, allowance: Allowance) -> None:
    client = runtime.client
    creation = _creation_of(runtime, order)
    serve, resume = _host(runtime, order)
    if creation is not None:
        creation = creation._replace(resume=resume)
    limit = client.memory_limit(order.class_id)
    if limit:
        allowance.begin(limit)  # for good: the constructor counts, and what it leaves
    runtime.actor = order
    runtime.enter(order.class_id)
    if order.record:
        runtime.functions.learn(order.cls_key, order.record)
    state = ActorState(
        key=order.cls_key,
        class_name=order.class_name,
        shape=decode_shape(order.meta),
        functions=runtime.functions,
        outcomes=Outcomes(client, runtime.node_id),
        calls=runtime.calls,
        accelerators=accelerators,
        allowance=allowance if limit else None,
        creation=creation,
    )
    serve(state)
    state.wait_until_told()


def _creation_of(runtime: Runtime, order: ActorOrder) -> Creation | None:
    """What a restarted actor runs its constructor with; None while the creating call itself is still to come."""
    client, calls = runtime.client, runtime.calls
    if order.handle is None or not client.is_over(*order.handle):
        return None

    def recorded() -> tuple[list[Any], dict[str, Any]]:
        location = calls.take_creation(order.class_id)
        args, kwargs = client.get(client.adopt(location.index, location.generation))
        return [_value(client, arg) for arg in args], {name: _value(client, arg) for name, arg in kwargs.items()}

    return Creation(recorded, lambda: calls.reconstructed(order.class_id), client.lease)


def _value(client: Client, argument: Any) -> Any:
    return client.get(argument) if type(argument) is ObjectRef else argument


def _host(runtime: Runtime, order: ActorOrder) -> tuple[Step, Step | None]:
    """What runs the actor's calls, with all that it needs imported: it does not count against the actor's memory.

    And what brings the state of a restarted one back, if it has checkpoints."""
    client, max_concurrency = runtime.client, order.max_concurrency
    if order.is_async:
        from shoal.asyncio_bridge import bridge_of
        from shoal.worker.async_host import AsyncHost
        from shoal.worker.loop_selector import run_loop

        bridge = bridge_of(runtime)
        lanes = Lanes(max_concurrency, order.concurrency_groups) if order.concurrency_groups else None
        return lambda state: run_loop(bridge, AsyncHost(client, state, bridge, max_concurrency, lanes).serve()), None
    if order.concurrency_groups:
        from shoal.worker.lane_host import LaneHost

        lanes = Lanes(max_concurrency, order.concurrency_groups)
        return lambda state: LaneHost(client, state, lanes).serve(), None
    if max_concurrency > 1:
        from shoal.worker.thread_host import ThreadHost

        return lambda state: ThreadHost(client, state, max_concurrency).serve(), None
    if order.checkpoint_every:
        from shoal.worker.checkpoints import Checkpoints
        from shoal.worker.logged_host import serve_with_checkpoints

        checkpoints = Checkpoints(client, runtime.calls, order.class_id, order.checkpoint_every)
        return lambda state: serve_with_checkpoints(client, state, checkpoints), checkpoints.resume
    from shoal.worker.sync_host import serve_one_at_a_time

    return lambda state: serve_one_at_a_time(client, state), None

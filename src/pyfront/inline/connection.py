# SPDX-License-Identifier: Apache-2.0
"""A connection in inline mode: what `init(mode="inline")` makes, and what ends it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, NoReturn, cast
from uuid import uuid4

from shoal._core._node import Client, ObjectRef
from shoal.asyncio_bridge import Bridge
from shoal.config import visible_gpus
from shoal.errors import InlineModeError
from shoal.inline.client import InlineClient
from shoal.inline.desk import Desk
from shoal.inline.runner import Runner
from shoal.inline.task import InlineTemplate
from shoal.link import Link
from shoal.node.resources import detect, node_capacity
from shoal.node.settings import NodeSettings
from shoal.protocol.messages import NodeConfig, Welcome
from shoal.runtime import Runtime
from shoal.task.accelerators import Accelerators
from shoal.task.running import running

if TYPE_CHECKING:
    from shoal.protocol.orders import ActorOrder
    from shoal.runtime_env.fields import RuntimeEnv

_roots = count(1)


class InlineRuntime(Runtime):
    """A runtime whose calls run here."""

    def template(self, **fields: Any) -> Callable[[tuple[Any, ...], dict[str, Any]], Any]:
        """As Runtime.template."""
        return InlineTemplate(cast(InlineClient, self.client), **fields)

    def survey(self) -> NoReturn:
        """Raises InlineModeError: there are no records to look at."""
        raise InlineModeError(
            "the state of a node is read from its shared memory, and this process runs in inline mode, without one"
        )

    def earlier_actor(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A repeated attempt makes its calls again."""

    def environment_for(self, own: RuntimeEnv | None) -> None:
        """None is there but the program's own. Raises InlineModeError for any other."""
        if own is not None:
            raise InlineModeError(
                "runtime_env is for processes of their own, and in inline mode tasks and actors run in the program: "
                "leave it out, or run the program on a node"
            )

    @property
    def actor(self) -> ActorOrder | None:
        """Which actor the calling code is part of."""
        here = running()
        actor = getattr(here.task, "actor", None) if here is not None else None
        return None if actor is None else cast("ActorOrder", actor.order)

    @actor.setter
    def actor(self, order: ActorOrder | None) -> None:
        """No process is an actor here."""


class InlineBridge(Bridge):
    """Awaits and futures, told by the client instead of by an eventfd."""

    def __init__(self, client: InlineClient) -> None:
        self._inline = client

    def __del__(self) -> None:
        """There is no descriptor."""

    def listen(self, loop: object) -> None:
        """Whoever waits is called back."""

    def watch(self, loop: object) -> None:
        """There is nobody else who could move."""

    def notify(self, ref: ObjectRef[Any], tell: Callable[[], None]) -> bool:
        """As Bridge.notify."""
        return self._inline.notify(ref, tell)

    def forget(self, ref: ObjectRef[Any], tell: Callable[[], None]) -> None:
        """As Bridge.forget."""
        self._inline.forget(ref, tell)

    def future(self, ref: ObjectRef[Any]) -> Future[Any]:
        """As Bridge.future."""
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        if self.notify(ref, partial(self._fill_inline, future, ref)):
            self._fill_inline(future, ref)
        return future

    def serve(self) -> None:
        """No thread is needed."""

    def unserve(self) -> None:
        """None was."""

    def close(self) -> None:
        """The client has told who waits."""

    def _fill_inline(self, future: Future[Any], ref: ObjectRef[Any]) -> None:
        try:
            value = self._inline.get(ref)
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(value)


class _Gpus(Accelerators):
    """Names of GPUs. The variable that CUDA reads is the whole program's, and stays."""

    def __init__(self, n_gpus: int) -> None:
        outer = visible_gpus()
        self._names = [str(number) for number in range(n_gpus)] if outer is None else outer[:n_gpus]

    def show(self, lease: Mapping[str, int]) -> bool:
        """Shows nothing."""
        return False


class InlineConnection:
    """Everything that one `init` made."""

    def __init__(self, settings: NodeSettings, namespace: str | None) -> None:
        capacity, store_bytes = node_capacity(settings, detect())
        session = f"inline-{uuid4().hex}"
        config = NodeConfig(
            node_id=session[-12:],
            session=session,
            runtime_dir="",
            daemon_pid=os.getpid(),
            resources=capacity,
            store_bytes=store_bytes,
        )
        root = next(_roots)
        n_gpus = int(capacity.get("GPU", 0))
        self.client = InlineClient(root)
        desk = Desk(self.client, config)
        welcome = Welcome(
            index=self.client.index,
            epoch=self.client.epoch,
            root=root,
            namespace=namespace or f"inline-{uuid4().hex[:8]}",
            config=config,
        )
        self.runtime = InlineRuntime(cast(Client, self.client), cast(Link, desk), welcome, is_driver=True)
        gpus = self.runtime.accelerators = _Gpus(n_gpus)
        self.runtime.bridge = InlineBridge(self.client)
        self.client.calls = self.runtime.calls
        self.client.engine.ledger.capacity.update(capacity)
        desk.runner = self.client.engine.runner = Runner(
            self.client, self.runtime.functions, self.runtime.calls, config.node_id, gpus
        )

    def close(self) -> None:
        """End it: actors end, calls that have not run never will."""
        self.client.close()

    def give_up(self) -> None:
        """The same, when it could not be finished."""
        self.client.close()

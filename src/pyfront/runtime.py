# SPDX-License-Identifier: Apache-2.0
"""This process's connection to a node: the compiled client beside the socket to the daemon.

There is at most one per process. A driver gets it from `init` (or from its first call), a worker is started with one. A
forked child has none: the parent's stays with the parent.
"""

from __future__ import annotations

import os
from _thread import RLock  # `threading` is imported when something needs it, which is not `import shoal`
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from shoal._core._node import CallTemplate, Client, ObjectRef, Survey, earlier_actor
from shoal.config import package_limit
from shoal.errors import ForkedProcessError, NotConnectedError
from shoal.protocol.places import ANYWHERE, Place
from shoal.task.accelerators import Accelerators
from shoal.task.function_table import FunctionTable

if TYPE_CHECKING:
    from shoal.hang_watch import Watch
    from shoal.link import Link
    from shoal.protocol.environment import Environment
    from shoal.protocol.messages import Welcome
    from shoal.protocol.orders import ActorOrder
    from shoal.runtime_env.fields import RuntimeEnv
    from shoal.runtime_env.packages import Packages
    from shoal.seam import Submission


class Closable(Protocol):
    """Something that must know when the connection ends."""

    def close(self) -> None:
        """The client is closed already."""


class Runtime:
    """One connection. Threads may share it."""

    def __init__(self, client: Client, link: Link, welcome: Welcome, *, is_driver: bool) -> None:
        from shoal.node_calls import NodeCalls  # msgspec costs 20 ms, paid here and not by `import shoal`

        self.client = client
        self.link = link
        self.calls = NodeCalls(link, welcome.config.session)
        self.functions = FunctionTable(self.calls.put_function, self.calls.get_function)
        self.config = welcome.config
        self.session = welcome.config.session
        self.node_id = welcome.config.node_id
        self.root = welcome.root
        self.job = (self.session, self.root)  # what it has exported is known as long as it lasts, no longer
        self.namespace = welcome.namespace
        self.is_driver = is_driver
        self.actor: ActorOrder | None = None  # which actor this process is
        self.accelerators: Accelerators | None = None  # of a worker
        self.before_end: list[Callable[[], None]] = []  # what a driver does first when it disconnects; must not raise
        self.bridge: Closable | None = None  # the event loops' share of the connection, made when one is first used
        self.watch: Watch | None = None  # of a driver: what looks whether anything moves while it waits
        if welcome.config.is_tracing:
            from shoal.tracing import start_tracing

            start_tracing(client, welcome.config.runtime_dir)
        if welcome.config.is_recording_lines:
            from shoal.origins import record_lines

            record_lines(client, link)
        self.environment: Environment | None = None  # of this process, or of a driver's job: its calls inherit it
        self._packages: Packages | None = None
        self.captured: Place | None = None  # where the children of the calls that run here run too
        self._captured_in = 0  # by tag: what is captured there
        self._captures: dict[int, Place | None] = {0: None}
        self._classes: dict[tuple[frozenset[tuple[str, float]], int, str, Place], int] = {}

    def template(self, **fields: Any) -> Submission:
        """A kind of calls, ready to be made: the fields are those of a CallTemplate."""
        return CallTemplate(self.client, **fields)

    def survey(self) -> Survey:
        """A look at the node's records. Raises InlineModeError where there are none."""
        return Survey(self.client)

    def earlier_actor(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[int, ObjectRef[Any]] | None:
        """The class and the handle object of the actor that an earlier attempt of the calling task created here."""
        return earlier_actor(self.client, args, kwargs)

    def class_for(
        self,
        demands: Mapping[str, float],
        priority: int = 0,
        environment: Environment | None = None,
        place: Place = ANYWHERE,
    ) -> int:
        """The scheduling class of a resource shape. Warns (InfeasibleResourcesWarning) if the node cannot meet it.

        Raises TaskUnschedulableError, PlacementGroupSchedulingError, TaskPlacementGroupRemoved."""
        shape = (frozenset(demands.items()), priority, "" if environment is None else environment.key(), place)
        class_id = self._classes.get(shape)
        if class_id is None:
            class_id = self._classes[shape] = self.calls.define_class(dict(demands), priority, environment, place)
        return class_id

    def environment_for(self, own: RuntimeEnv | None) -> Environment | None:
        """The environment of a call that asks for `own`; None: for that of its caller. Raises RuntimeEnvSetupError."""
        if own is None:
            return self.environment
        from shoal.runtime_env.resolve import resolve

        return resolve(own, self.session, self.environment, self._package_folder)

    def _package_folder(self) -> Packages:
        if self._packages is None:
            from shoal.runtime_env.packages import Packages

            self._packages = Packages(self.calls.package_folder(), package_limit())
        return self._packages

    def enter(self, class_id: int) -> None:
        """A call of this class runs here next. What it submits is bound anew if it is to run in another group."""
        tag = self.client.class_tag(class_id)
        if tag == self._captured_in:
            return
        if tag not in self._captures:
            self._captures[tag] = self.calls.captured_by(class_id)
        self._captured_in = tag
        captured = self._captures[tag]
        if captured != self.captured:
            self.captured = captured
            self.client.forget_templates()


connection: Runtime | None = None
"""This process's connection; hot paths read it themselves, everything else goes through `current`."""
on_connect: list[Callable[[], None]] = []
"""What is called when this process has got a connection; it must neither raise nor wait."""
_is_forked = False
_lock = RLock()
_connect: Callable[[], object] | None = None


def current() -> Runtime:
    """The connection, made now if there is none yet."""
    runtime = connection
    return runtime if runtime is not None else _first_use()


def connected() -> Runtime:
    """The connection. Raises NotConnectedError instead of making one."""
    if connection is None:
        raise NotConnectedError("Shoal is not initialized in this process; call shoal.init() first")
    return connection


def install(runtime: Runtime | None) -> None:
    """Make `runtime` this process's connection, or leave the process without one."""
    global connection, _is_forked
    connection = runtime
    _is_forked = False
    if runtime is not None:
        for tell in on_connect:
            tell()


def connecting() -> RLock:
    """What to hold from the look whether there is a connection until there is one: of several threads one makes it."""
    return _lock


def on_first_use(connect: Callable[[], object]) -> None:
    """What to call when something needs a connection and there is none."""
    global _connect
    _connect = connect


def _first_use() -> Runtime:
    with _lock:
        if connection is None:
            if _is_forked:
                raise ForkedProcessError(
                    "this process was forked from one that is connected to a Shoal node; call shoal.init() here first "
                    "(refs and actor handles of the parent cannot be used)"
                )
            if _connect is not None:
                _connect()
        return connected()


def _after_fork() -> None:
    global connection, _is_forked, _lock
    if connection is not None:
        connection.client.forked()
        connection = None
        _is_forked = True
    _lock = RLock()  # another thread of the parent may hold it, and does not exist here


os.register_at_fork(after_in_child=_after_fork)

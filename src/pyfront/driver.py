# SPDX-License-Identifier: Apache-2.0
"""A driver's connection: started or attached by `connect`, ended by `disconnect` or at interpreter exit."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from shoal import runtime
from shoal.config import DriverConfig, driver_config
from shoal.errors import NodeStartError, ShoalError

if TYPE_CHECKING:
    from shoal.inline.connection import InlineConnection
    from shoal.node.launch import Connection as NodeConnection
    from shoal.node.settings import NodeSettings
    from shoal.protocol.messages import Hello
    from shoal.runtime import Runtime
    from shoal.runtime_env.fields import RuntimeEnv

LOCAL = "local"
NODE, INLINE = "node", "inline"
MODES = (NODE, INLINE)


class NodeOptions(NamedTuple):
    """What `init` was asked for; None: the default."""

    address: str | None = None  # "local": start a node; "auto" or a path: attach to one
    num_cpus: float | None = None
    num_gpus: float | None = None
    resources: Mapping[str, float] | None = None
    object_store_memory: int | None = None  # bytes
    object_spilling_directory: str | os.PathLike[str] | None = None
    object_spilling_limit: int | None = None  # bytes
    namespace: str | None = None
    log_to_driver: bool | None = None
    memory: int | None = None  # bytes that tasks and actors may demand together
    tracing: bool | None = None
    record_lines: bool | None = None
    runtime_env: RuntimeEnv | None = None  # of the job
    metrics_export_port: int | None = None  # 0: any that is free; None: no endpoint
    labels: Mapping[str, str] | None = None
    mode: str | None = None  # one of MODES


_connection: NodeConnection | InlineConnection | None = None


def connect(options: NodeOptions) -> Runtime:
    """Connect this process. Raises NodeStartError, NodeNotFoundError, ValueError for conflicting options."""
    try:
        return _connect(options)
    except OSError as error:
        if isinstance(error, ShoalError):
            raise
        raise NodeStartError(f"this process cannot connect: {error}") from error  # no files left to open, say


def _connect(options: NodeOptions) -> Runtime:
    global _connection
    config = driver_config()
    mode = options.mode or config.mode or NODE
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(map(repr, MODES))}, not {mode!r}")
    if mode == INLINE:
        return _connect_inline(options, config)
    address = options.address or config.address or LOCAL
    if address == LOCAL:
        connection = _start(options, config)
    else:
        _refuse_node_options(options, address)
        connection = _attach(options, config, address)
    try:
        from shoal.hooks import hang_watch, set_hooks
        from shoal.log_printer import LogPrinter

        is_printing = config.is_log_to_driver if options.log_to_driver is None else options.log_to_driver
        connection.link.on_push = LogPrinter(is_printing=is_printing, is_colour_allowed=config.is_colour_allowed)
        connection.link.start()
        made = runtime.Runtime(connection.client, connection.link, connection.welcome, is_driver=True)
        made.watch = hang_watch(connection.client, _on_hang)
        set_hooks(connection.client, made.calls, made.functions, made.watch)
        made.environment = made.environment_for(options.runtime_env)
        if made.environment is not None:
            made.class_for({"CPU": 1.0}, environment=made.environment)  # its workers are made ready from now on
        _connection = connection
        runtime.install(made)
        atexit.register(disconnect)
    except BaseException:  # of a signal's handler, say: half a connection is of no use to anybody
        if _connection is connection:
            _forget()
        connection.give_up()
        raise
    return made


def _start(options: NodeOptions, config: DriverConfig) -> NodeConnection:
    """Begin a node, and do this process's imports while the daemon does its own; those of a first call too."""
    from shoal.node.daemon_process import execute_daemon

    daemon = execute_daemon(_settings(options, config))
    try:
        from shoal import hooks, log_printer, node_calls  # noqa: F401
        from shoal.node.launch import start_node
        from shoal.serialization import by_value  # noqa: F401

        hello = _hello(options, config)
    except BaseException:
        daemon.give_up()
        raise
    return start_node(hello, daemon)


def _attach(options: NodeOptions, config: DriverConfig, address: str) -> NodeConnection:
    from shoal.node.launch import attach_node

    return attach_node(_hello(options, config), address)


def _hello(options: NodeOptions, config: DriverConfig) -> Hello:
    from shoal.protocol.messages import Hello

    try:
        here = os.getcwd()
    except OSError:  # it was deleted under us
        here = ""
    return Hello(
        pid=os.getpid(),
        python=f"{sys.version_info.major}.{sys.version_info.minor}",
        cwd=os.fsencode(here),
        sys_path=[os.fsencode(os.path.normpath(os.path.join(here, entry))) for entry in sys.path],
        argv0=os.fsencode(sys.argv[0] if sys.argv else "").decode(errors="replace"),
        namespace=options.namespace or config.namespace,
        has_environment=options.runtime_env is not None,
    )


def _connect_inline(options: NodeOptions, config: DriverConfig) -> Runtime:
    global _connection
    from shoal.inline.connection import InlineConnection

    if options.address not in (None, LOCAL):
        raise ValueError(
            f"address={options.address!r} names a node, and in inline mode there is none: leave one of the two out"
        )
    connection = InlineConnection(_settings(options, config), options.namespace or config.namespace)
    connection.runtime.environment_for(options.runtime_env)
    _connection = connection
    runtime.install(connection.runtime)
    atexit.register(disconnect)
    return connection.runtime


def _settings(options: NodeOptions, config: DriverConfig) -> NodeSettings:
    """What a node of this driver's is told."""
    from shoal.node.settings import NodeSettings

    directory = options.object_spilling_directory
    return NodeSettings(
        num_cpus=None if options.num_cpus is None else int(options.num_cpus),
        num_gpus=None if options.num_gpus is None else int(options.num_gpus),
        resources=dict(options.resources or {}),
        object_store_memory=options.object_store_memory,
        object_spilling_directory=os.path.abspath(directory) if directory else None,
        object_spilling_limit=options.object_spilling_limit,
        metrics_export_port=options.metrics_export_port,
        memory=options.memory,
        tracing=config.is_tracing if options.tracing is None else bool(options.tracing),
        record_lines=config.is_recording_lines if options.record_lines is None else bool(options.record_lines),
        labels=dict(options.labels or {}),
    )


def disconnect() -> None:
    """End the connection, and the node if this process started it. No effect without one, or in a forked child."""
    global _connection
    connection, ended = _connection, runtime.connection
    if connection is None or ended is None:
        _connection = None
        return
    try:
        try:
            for prepare in ended.before_end:
                prepare()
        except BaseException:  # of a signal's handler
            connection.give_up()
            raise
        connection.close()
    finally:  # a signal's handler may have interrupted it: then the connection has been given up
        _forget()
        if ended.bridge is not None:
            ended.bridge.close()


def _on_hang(still_s: float) -> None:
    from shoal.hang_report import print_hang

    print_hang(still_s)


def _forget() -> None:
    global _connection
    runtime.install(None)
    atexit.unregister(disconnect)
    _connection = None


def _refuse_node_options(options: NodeOptions, address: str) -> None:
    for name in (
        "num_cpus",
        "num_gpus",
        "resources",
        "object_store_memory",
        "object_spilling_directory",
        "object_spilling_limit",
        "memory",
        "tracing",
        "record_lines",
        "metrics_export_port",
        "labels",
    ):
        if getattr(options, name) is not None:
            raise ValueError(f"{name} is a property of the node, and address={address!r} names one that runs already; "
                             f"leave {name} out, or leave address out to start a node")  # fmt: skip

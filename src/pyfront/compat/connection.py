# SPDX-License-Identifier: Apache-2.0
"""`ray.init`: Ray's arguments, with Ray's meaning where they have one here.

An argument about something that a node does not have is warned about once, by name; one whose absence would change what
the program computes is refused."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Any

from shoal import api, runtime
from shoal.compat.cluster import options_of_address
from shoal.compat.job_config import JobConfig, LoggingConfig
from shoal.compat.names import RAY_VERSION
from shoal.compat.node import HOST
from shoal.compat.warning import warn_once
from shoal.config import driver_config, ray_config
from shoal.driver import LOCAL
from shoal.errors import NodeNotFoundError

SCRIPT_MODE, WORKER_MODE, LOCAL_MODE = 0, 1, 2

HEAD = "node:__internal_head__"
NODE_RESOURCES = {f"node:{HOST}": 1.0, HEAD: 1.0}
"""What every node of Ray has, so that a task can be pinned to one."""

_NO_DASHBOARD = "there is no dashboard; use `shoal status` and `shoal list`"
_NO_LOGGER = "Shoal sets up no logging; the program may"
_NO_NETWORK = "no process of a node listens on the network"
_LIMITS = "`memory=` of tasks and actors is a limit that holds"
IN_VAIN: dict[str, tuple[tuple[object, ...], str]] = {
    "cgroup_path": ((None,), _LIMITS),
    "configure_logging": ((True,), _NO_LOGGER),
    "dashboard_host": ((None, HOST, "localhost"), _NO_DASHBOARD),
    "dashboard_port": ((None,), _NO_DASHBOARD),
    "enable_resource_isolation": ((False,), _LIMITS),
    "include_dashboard": ((None, False), _NO_DASHBOARD),
    "logging_config": ((None,), _NO_LOGGER),
    "logging_format": ((None,), _NO_LOGGER),
    "logging_level": ((None, "info", "INFO", 20), _NO_LOGGER),
    "proxy_server_url": ((None,), _NO_DASHBOARD),
    "system_reserved_cpu": ((None,), "leave CPUs out of num_cpus"),
    "system_reserved_memory": ((None,), "leave memory out of _memory"),
    "_driver_object_store_memory": ((None,), "object_store_memory is for all processes of the node"),
    "_enable_object_reconstruction": ((None, False), "objects outlive the worker that made them"),
    "_node_ip_address": ((None, HOST, "localhost"), _NO_NETWORK),
    "_node_name": ((None,), "a node is named by its id"),
    "_plasma_directory": ((None,), "the store has no name in the file system"),
    "_redis_password": ((None, "5241590000000000", "", b"5241590000000000"), _NO_NETWORK),
    "_redis_username": ((None, "", "default"), _NO_NETWORK),
    "_skip_env_hook": ((None, False), "there is no hook"),
    "_system_config": ((None, {}), "its settings are of Ray's own parts; `shoal.config` lists Shoal's variables"),
    "_temp_dir": ((None,), "XDG_RUNTIME_DIR, SHOAL_LOG_DIR and SHOAL_SPILL_DIR say where a node keeps what"),
    "_tracing_startup_hook": ((None,), "use `timeline`"),
    "storage": ((None,), "there is no `ray.workflow`"),
}
"""Arguments of `init` about what a node does not have: values that ask for nothing, and what to tell of others."""


def init(
    address: str | None = None,
    *,
    num_cpus: int | None = None,
    num_gpus: int | None = None,
    resources: Mapping[str, float] | None = None,
    labels: Mapping[str, str] | None = None,
    object_store_memory: int | None = None,
    local_mode: bool = False,
    ignore_reinit_error: bool = False,
    include_dashboard: bool | None = None,
    dashboard_host: str | None = None,
    dashboard_port: int | None = None,
    job_config: JobConfig | None = None,
    configure_logging: bool = True,
    logging_level: int | str | None = None,
    logging_format: str | None = None,
    logging_config: LoggingConfig | None = None,
    log_to_driver: bool | None = None,
    namespace: str | None = None,
    runtime_env: Any = None,
    enable_resource_isolation: bool = False,
    cgroup_path: str | None = None,
    system_reserved_cpu: float | None = None,
    system_reserved_memory: int | None = None,
    proxy_server_url: str | None = None,
    **others: Any,
) -> RayContext:
    """Connect this process, starting a node unless `address` (or the variable RAY_ADDRESS) names one.

    `address`: None or "local" starts a node; "auto" attaches to this user's newest one; a folder to the one there; the
    address of a `Cluster` to that. `local_mode`: run everything in this process. `job_config`: its namespace and
    runtime environment count as if given here. What `shoal.init` takes means the same; `others` are `_memory`,
    `_metrics_export_port`, `_object_spilling_directory` and the arguments of `IN_VAIN`, each of which warns once
    (CompatibilityWarning) if it asks for anything.

    Raises as `shoal.init`; NodeNotFoundError (a ConnectionError) for the address of a cluster elsewhere."""
    in_vain = {name: value for name, value in locals().items() if name in IN_VAIN}  # of the parameters, all there is
    options = _options({**others, **in_vain})
    if job_config is not None:
        namespace = namespace or job_config.ray_namespace
        runtime_env = runtime_env or job_config.runtime_env
    wanted = {"labels": labels, "runtime_env": runtime_env, "mode": "inline" if local_mode else None}
    options |= {name: value for name, value in wanted.items() if value}
    options |= {"num_cpus": num_cpus, "num_gpus": num_gpus, "object_store_memory": object_store_memory}
    options["resources"] = resources
    named = address or ray_config().address or driver_config().address or LOCAL
    node_of_cluster = options_of_address(named)
    if node_of_cluster is not None:
        named = LOCAL
        options |= node_of_cluster
    if named == LOCAL:
        given = options["resources"] or {}
        options["resources"] = {**NODE_RESOURCES, **given} if isinstance(given, Mapping) else given  # refused below
    else:
        _check_address(named)
    if ignore_reinit_error and runtime.connection is not None:
        options = {}
    made = api.init(
        named,
        namespace=namespace or ray_config().namespace,
        log_to_driver=log_to_driver,
        ignore_reinit_error=ignore_reinit_error,
        **options,
    )
    return RayContext(made)


class RayContext:
    """What `init` returns: Shoal's context, and what Ray's has besides: `context["node_id"]`, `address_info`."""

    dashboard_url = ""
    """There is no dashboard."""
    ray_version = RAY_VERSION
    ray_commit = ""
    python_version = ".".join(map(str, sys.version_info[:3]))

    def __init__(self, context: Any) -> None:
        self._context = context

    @property
    def address_info(self) -> dict[str, Any]:
        """Where the node is, under the names that Ray gives these."""
        folder, node_id = self._context.address, self._context.node_id
        return {
            "node_ip_address": HOST,
            "address": folder,
            "gcs_address": folder,
            "session_dir": folder,
            "node_id": node_id,
            "webui_url": "",
        }

    def __getitem__(self, name: str) -> Any:
        return self.address_info[name]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def __enter__(self) -> RayContext:
        return self

    def __exit__(self, *error: object) -> None:
        self._context.disconnect()

    def __repr__(self) -> str:
        return repr(self._context)


def _options(given: dict[str, Any]) -> dict[str, Any]:
    """The options of `shoal.init` among Ray's rarer ones; warns about the rest. Raises TypeError for unknown ones."""
    taken = {
        "_memory": "memory",
        "_metrics_export_port": "metrics_export_port",
        "_object_spilling_directory": "object_spilling_directory",
    }
    own = {"object_spilling_directory", "object_spilling_limit", "memory", "metrics_export_port"}
    own |= {"tracing", "record_lines"}
    options: dict[str, Any] = {}
    for name, value in given.items():
        if name in taken or name in own:
            if value is not None:
                options[taken.get(name, name)] = value
            continue
        if name not in IN_VAIN:
            raise TypeError(f"{name!r} is not an option of init")
        neutral, why = IN_VAIN[name]
        if value not in neutral:
            warn_once(f"init({name}=...)", why, stacklevel=3)
    return options


def _check_address(address: str) -> None:
    if not isinstance(address, str):
        raise TypeError(f"address must be a string or None, not {address!r}")
    if "://" in address or re.fullmatch(r"[^/]+:\d+", address):
        raise NodeNotFoundError(
            f"{address!r} is the address of a Ray cluster; a node of Shoal is on this machine: leave the address out "
            "to start one, or give 'auto' or the folder of one that runs"
        )

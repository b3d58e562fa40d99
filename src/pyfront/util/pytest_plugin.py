# SPDX-License-Identifier: Apache-2.0
"""Fixtures for tests of programs that use Shoal. In conftest.py: `pytest_plugins = ["shoal.util.pytest_plugin"]`.

Not registered as an entry point: every run of pytest in the same environment would import Shoal.

| fixture | scope | gives |
|---|---|---|
| `shoal_node` | function | a node of its own for each test: the module `shoal`, connected |
| `shoal_node_shared` | session | one node for all tests that ask for it |
| `shoal_node_options`, `shoal_node_shared_options` | | arguments of `shoal.init` for either; override them |

A node ends with its scope, and the test or session fails if a process of it is left then. A test that takes
`shoal_node` while the shared node is up ends that one; it is started anew, empty, behind the test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

import psutil
import pytest

from shoal import runtime
from shoal.api import init, shutdown

EXIT_TIMEOUT_S = 10.0  # a node's processes end within milliseconds of its daemon; generous for a loaded machine


@pytest.fixture
def shoal_node_options() -> dict[str, Any]:
    """Arguments of `shoal.init` for `shoal_node`."""
    return {"num_cpus": 2}


@pytest.fixture(scope="session")
def shoal_node_shared_options() -> dict[str, Any]:
    """Arguments of `shoal.init` for `shoal_node_shared`."""
    return {"num_cpus": 2}


@pytest.fixture
def shoal_node(shoal_node_options: dict[str, Any]) -> Iterator[ModuleType]:
    """A fresh node, for one test, started with `shoal_node_options` -> the module `shoal`, connected."""
    shared = _shared[-1] if _shared else None
    if shared is not None:
        _end()
    try:
        with _node(shoal_node_options):
            yield _module()
    finally:
        if shared is not None:
            init(**shared)


@pytest.fixture(scope="session")
def shoal_node_shared(shoal_node_shared_options: dict[str, Any]) -> Iterator[ModuleType]:
    """One node, for all tests that take it, started with `shoal_node_shared_options` -> the module, connected."""
    with _node(shoal_node_shared_options):
        _shared.append(shoal_node_shared_options)
        try:
            yield _module()
        finally:
            _shared.pop()


def _module() -> ModuleType:
    return import_module("shoal")


_shared: list[dict[str, Any]] = []
"""The options of the shared node while there is one."""


@contextmanager
def _node(options: dict[str, Any]) -> Iterator[None]:
    init(**options)
    try:
        yield
    finally:
        _end()


def _end() -> None:
    """End this process's node, if there is one. Fails the test if processes of it are left."""
    processes = _processes()
    shutdown()
    _, alive = psutil.wait_procs(processes, timeout=EXIT_TIMEOUT_S)
    if alive:
        pytest.fail(f"processes of the node are left after shoal.shutdown(): {alive}", pytrace=False)


def _processes() -> list[psutil.Process]:
    if runtime.connection is None:
        return []
    try:
        daemon = psutil.Process(runtime.connection.config.daemon_pid)
        return [daemon, *daemon.children(recursive=True)]
    except psutil.NoSuchProcess:  # killed by the test
        return []

# SPDX-License-Identifier: Apache-2.0
"""`get`, `wait`, `cancel` and `shutdown` with Ray's names of their parameters, for programs that give these by name."""

from __future__ import annotations

from typing import Any

from shoal import api


def get(object_refs: Any, *, timeout: float | None = None) -> Any:
    """As `shoal.get`."""
    return api.get(object_refs, timeout=timeout)


def wait(
    ray_waitables: list[Any], *, num_returns: int = 1, timeout: float | None = None, fetch_local: bool = True
) -> tuple[list[Any], list[Any]]:
    """As `shoal.wait`."""
    return api.wait(ray_waitables, num_returns=num_returns, timeout=timeout, fetch_local=fetch_local)


def cancel(ray_waitable: Any, *, force: bool = False, recursive: bool = True) -> None:
    """As `shoal.cancel`."""
    api.cancel(ray_waitable, force=force, recursive=recursive)


def shutdown(*, wait_for_processes: bool = True) -> None:
    """As `shoal.shutdown`, which always waits until the processes of the node are gone."""
    api.shutdown()

# SPDX-License-Identifier: Apache-2.0
"""`ray.util.multiprocessing.Pool`: Shoal's, with Ray's arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from shoal import api
from shoal.compat.connection import init
from shoal.compat.warning import warn_once
from shoal.util import multiprocessing


class Pool(multiprocessing.Pool):
    """Processes that run functions: see `shoal.util.multiprocessing.Pool`."""

    def __init__(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] | None = None,
        maxtasksperchild: int | None = None,
        context: Any = None,
        ray_address: str | None = None,
        ray_remote_args: Mapping[str, Any] | None = None,
    ) -> None:
        """`ray_address`: what `init` takes, if this process is not connected. `ray_remote_args`: options of the actors.
        `context` has no effect, and warns. Raises as Shoal's."""
        if context is not None:
            warn_once("Pool(context=...)", "a process of a pool is an actor", stacklevel=2)
        if not api.is_initialized():
            init(ray_address)
        super().__init__(
            processes, initializer, initargs or (), maxtasksperchild or None, actor_options=ray_remote_args or {}
        )

    def apply(self, func: Callable[..., Any], args: Iterable[Any] = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        """`func(*args, **kwargs)` in a process of the pool -> its value. Raises its error."""
        return super().apply(func, args, kwargs)

    def apply_async(
        self,
        func: Callable[..., Any],
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        callback: Callable[[Any], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> multiprocessing.AsyncResult:
        """As `apply`, at once; the callbacks are those of Shoal's."""
        return super().apply_async(func, args, kwargs, callback, error_callback)

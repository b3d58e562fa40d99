# SPDX-License-Identifier: Apache-2.0
"""joblib on a node: `register_shoal()`, then `joblib.parallel_config(backend="shoal")`. Needs the extra `joblib`.

Batches of calls are tasks. A large array among the arguments is put into the store once for each `Parallel` call,
however many batches it is in, and the workers read it in place: like joblib's own memory maps it is read-only there,
and taken to be the same as long as it is the same object."""

from __future__ import annotations

import copy
from collections.abc import Callable
from concurrent import futures
from typing import Any

from joblib import register_parallel_backend
from joblib.parallel import AutoBatchingMixin, ParallelBackendBase

from shoal import runtime
from shoal._core._node import ObjectRef
from shoal.api import get, put
from shoal.util.executor import Executor

__all__ = ["ShoalBackend", "register_shoal"]

SHARED_BYTES = 65536
"""Arrays of this size and more are shared."""


def register_shoal() -> None:
    """Make the backend "shoal" known to joblib. Its parameters are options of the tasks, e.g. `num_cpus=2`."""
    register_parallel_backend("shoal", ShoalBackend)


class ShoalBackend(AutoBatchingMixin, ParallelBackendBase):  # type: ignore[misc] # joblib has no types
    """Runs joblib's batches as tasks. joblib makes it, for `parallel_config(backend="shoal")`."""

    supports_retrieve_callback = True

    def __init__(self, **parameters: Any) -> None:
        """`parameters`: options of the tasks, as of `shoal.remote` for functions, and joblib's own."""
        super().__init__(**parameters)
        self._executor: Executor | None = None
        self._shared: dict[
            int, tuple[object, ObjectRef[Any]]
        ] = {}  # by id; the object is kept, so the id stays its own

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """The number of jobs for `n_jobs`: -1 means the CPUs of the node, -2 all but one. Raises ValueError for 0."""
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        if n_jobs is None:
            return 1
        n_cpus = max(1, int(runtime.current().config.resources.get("CPU", 1)))
        return n_jobs if n_jobs > 0 else max(1, n_cpus + 1 + n_jobs)

    def configure(self, n_jobs: int = 1, parallel: Any = None, **parameters: Any) -> int:
        """Begin the `Parallel` call `parallel` -> the number of jobs, for `n_jobs`. `parameters` have no effect.

        Raises as `effective_n_jobs`, and as `shoal.remote` for a bad option."""
        n_jobs = self.effective_n_jobs(n_jobs)
        self.parallel = parallel
        self._executor = Executor(n_jobs, **self.backend_kwargs)
        return n_jobs

    def submit(
        self, func: Callable[[], Any], callback: Callable[[futures.Future[Any]], object] | None = None
    ) -> futures.Future[Any]:
        """Send one batch, `func`, as a task -> its future. When it is over, `callback` gets the future."""
        assert self._executor is not None  # joblib calls `configure` first
        future = self._executor.submit(run_batch, self._with_shared(func))
        if callback is not None:
            future.add_done_callback(callback)
        return future

    def retrieve_result_callback(self, out: futures.Future[Any]) -> Any:
        """The results of the batch whose future is `out`. Raises its error."""
        return out.result()

    def stop_call(self) -> None:
        """The `Parallel` call is over: its arrays are not needed any more."""
        self._shared.clear()

    def terminate(self) -> None:
        """End a `Parallel` call, or several of one `with` block."""
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
            self._executor = None
        self._shared.clear()
        self.reset_batch_stats()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Cancel what has not begun: a batch has failed. With `ensure_ready`, be ready for the next call."""
        self.terminate()
        if ensure_ready:
            self.configure(n_jobs=self.parallel.n_jobs, parallel=self.parallel)

    # -- inside

    def _with_shared(self, func: Callable[[], Any]) -> Callable[[], Any]:
        items = getattr(func, "items", None)
        if items is None:
            return func
        batch: Any = copy.copy(func)
        batch.items = [
            (
                function,
                [self._share(value) for value in args],
                {name: self._share(value) for name, value in kwargs.items()},
            )
            for function, args, kwargs in items
        ]
        return batch  # type: ignore[no-any-return] # of joblib's class

    def _share(self, value: Any) -> Any:
        if not hasattr(type(value), "__array_interface__") or value.nbytes < SHARED_BYTES:
            return value
        if id(value) not in self._shared:
            self._shared[id(value)] = value, put(value)
        return Shared(self._shared[id(value)][1])


class Shared:
    """Stands for an array of the store, the value of `ref`."""

    def __init__(self, ref: ObjectRef[Any]) -> None:
        self.ref = ref


def run_batch(batch: Any) -> Any:
    """Run `batch`, on a worker -> its results."""
    if hasattr(batch, "items"):
        batch.items = [
            (function, [_own(value) for value in args], {name: _own(value) for name, value in kwargs.items()})
            for function, args, kwargs in batch.items
        ]
    return batch()


def _own(value: Any) -> Any:
    return get(value.ref) if type(value) is Shared else value

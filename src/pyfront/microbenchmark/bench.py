# SPDX-License-Identifier: Apache-2.0
"""What a row measures with: the system under test, a time budget, and three ways to time a step.

A budget, not a repeat count: a row costs about the same time on a system of 300 calls per second and on one of
1,000,000. Where the batch itself is large (40,000 nested tasks), `sized_rate` fits its size to the budget and reports
the size it used; a fast system always runs the full batch.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from itertools import repeat
from time import perf_counter
from types import TracebackType
from typing import Any

from .row import Measurement

DEFAULT_BUDGET_S = 1.0
DEFAULT_PATIENCE_S = 60.0
# A timed chunk must be long against the clock's own cost (50 ns) and short against the budget.
CHUNKS_PER_BUDGET = 20
WARM_UP_SHARE = 0.2
FIRST_PROBE = 10
PROBE_SHARE = 0.1
# A call that takes longer than this many budgets is its own measurement: a second one would cost more than it tells.
TOO_LONG_BUDGETS = 10


class Bench:
    """One system under test with a time budget in seconds for each row. Not thread-safe.

    `patience_s` bounds the one row whose size is its point, a million queued tasks: it is cut down only where the
    whole would take longer. `start_code` is the text of a program for the start-up rows, `small_store_code` one that
    starts the system as `api` with a small store; "" if there is none.

    `open_api` starts the system and returns it with the function that stops it; it is called once, on first use of
    `api`, so that rows about start-up run on a quiet machine.
    """

    def __init__(
        self,
        open_api: Callable[[], tuple[Any, Callable[[], object]]],
        *,
        n_cpus: int,
        start_code: str = "",
        small_store_code: str = "",
        budget_s: float = DEFAULT_BUDGET_S,
        patience_s: float = DEFAULT_PATIENCE_S,
    ) -> None:
        self.n_cpus = n_cpus
        self.start_code = start_code
        self.small_store_code = small_store_code
        self.budget_s = budget_s
        self.patience_s = patience_s
        self.start_clocks: tuple[float, float, float] | None = None
        self.spill_rates: tuple[float, float] | None = None
        self._open_api = open_api
        self._api: Any = None
        self._exit = ExitStack()
        self._actors: list[Any] = []

    @property
    def api(self) -> Any:
        """The running system."""
        if self._api is None:
            self._api, close = self._open_api()
            self._exit.callback(close)
        return self._api

    def actor(self, cls: Any, *args: Any, **options: Any) -> Any:
        """An actor of `cls` that is killed when the row ends."""
        made = cls.options(**options).remote(*args) if options else cls.remote(*args)
        self._actors.append(made)
        return made

    def end_row(self) -> None:
        """Kill the row's actors, so that rows do not disturb each other."""
        actors, self._actors = self._actors, []
        for actor in actors:
            self.api.kill(actor)

    def rate(self, step: Callable[[], object], items: float = 1) -> Measurement:
        """Items per second, where one call of `step` does `items` of them, after a warm-up."""
        chunk, last = self._warm_up(step)
        if last > TOO_LONG_BUDGETS * self.budget_s:
            return Measurement(items / last, note="one call, not warmed up")
        return Measurement(self._calls_per_s(step, chunk) * items)

    def cost(self, step: Callable[[], object], items: float = 1) -> Measurement:
        """Seconds per item, the median over chunks of calls, after a warm-up."""
        chunk, last = self._warm_up(step)
        if last > TOO_LONG_BUDGETS * self.budget_s:
            return Measurement(last / items, note="one call, not warmed up")
        deadline = perf_counter() + self.budget_s
        samples: list[float] = []
        while not samples or perf_counter() < deadline:
            samples.append(_time(step, chunk) / (chunk * items))
        return Measurement(statistics.median(samples))

    def sized_rate(self, step: Callable[[int], object], n: int, items_per_n: float = 1) -> Measurement:
        """Items per second of `step(n)`, with `n` cut down until one call fits the budget."""
        fitted = self.fit(step, n)
        return Measurement(self._calls_per_s(lambda: step(fitted), 1) * fitted * items_per_n, n=fitted)

    def fit(self, step: Callable[[int], object], n: int, within_s: float | None = None) -> int:
        """The largest batch size up to `n` that should end `within_s` (default: the budget), by growing probes."""
        limit_s = self.budget_s if within_s is None else within_s
        probe = min(n, FIRST_PROBE)
        step(probe)
        seconds = self._probe(step, probe)
        while probe < n and seconds < self.budget_s * PROBE_SHARE:
            probe = min(n, probe * 10)
            seconds = self._probe(step, probe)
        return max(1, min(n, int(probe * limit_s / seconds)))

    def _probe(self, step: Callable[[int], object], n: int) -> float:
        seconds = _time(partial(step, n), 1)
        if seconds < self.budget_s * PROBE_SHARE:
            return seconds
        # Slow, or a hiccup of the machine, which must not cut the batch down to nothing: the second one tells.
        return min(seconds, _time(partial(step, n), 1))

    def _warm_up(self, step: Callable[[], object]) -> tuple[int, float]:
        """Run `step` for a share of the budget; the number of calls that fill one chunk, and that chunk's seconds."""
        deadline = perf_counter() + self.budget_s * WARM_UP_SHARE
        chunk, seconds = 1, _time(step, 1)
        while perf_counter() < deadline:
            if seconds < self.budget_s / CHUNKS_PER_BUDGET:
                chunk *= 2
            seconds = _time(step, chunk)
        return chunk, seconds

    def _calls_per_s(self, step: Callable[[], object], chunk: int) -> float:
        calls = 0
        seconds = 0.0
        while seconds < self.budget_s:
            seconds += _time(step, chunk)
            calls += chunk
        return calls / seconds

    def __enter__(self) -> Bench:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exit.close()


def _time(step: Callable[[], object], calls: int) -> float:
    start = perf_counter()
    for _ in repeat(None, calls):
        step()
    return perf_counter() - start

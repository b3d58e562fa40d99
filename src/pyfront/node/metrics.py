# SPDX-License-Identifier: Apache-2.0
"""What a node's processes have counted, added up.

A counter or a histogram is the sum over processes, those that have ended included: what they reported stays. A gauge is
what was set last. A process reports totals, each with its time, so a report may come twice or be overtaken by a later
one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator

import msgspec

from shoal.node.connections import Connection
from shoal.protocol.metrics import CollectMetrics, Definition, Family, Report, Sample, Series

MOST_SERIES = 100_000  # of a node
WAIT_S = 1.0  # a process that can answer does so within a switch of threads
Tags = tuple[str, ...]


class Metric(msgspec.Struct):
    """One metric of all processes."""

    definition: Definition
    ended: dict[Tags, list[float]] = msgspec.field(default_factory=dict)  # sums over processes that are gone
    live: dict[Connection, dict[Tags, Series]] = msgspec.field(default_factory=dict)
    gauges: dict[Tags, Series] = msgspec.field(default_factory=dict)

    def take(self, source: Connection, series: Series) -> bool:
        """Note what a process says of one series. True if it is a new one for this process."""
        known = self.gauges if self.definition.kind == Definition.GAUGE else self.live.setdefault(source, {})
        before = known.get(series.tags)
        if before is None or before.at_ns <= series.at_ns:
            known[series.tags] = series
        return before is None

    def end(self, source: Connection) -> int:
        """Keep what a process has said that says nothing any more -> how many series fewer there are."""
        said, n_before = self.live.pop(source, {}), len(self.ended)
        for tags, series in said.items():
            self.ended[tags] = _sum(self.ended.get(tags), series.numbers)
        return len(said) - (len(self.ended) - n_before)

    def totals(self) -> dict[Tags, list[float]]:
        """By tags."""
        totals = {tags: list(numbers) for tags, numbers in self.ended.items()}
        totals |= {tags: series.numbers for tags, series in self.gauges.items()}
        for said in self.live.values():
            for tags, series in said.items():
                totals[tags] = _sum(totals.get(tags), series.numbers)
        return totals


class MetricTable:
    """The metrics of one node's programs. `warn` tells the user of a connection."""

    def __init__(self, warn: Callable[[Connection, str], None]) -> None:
        self._warn = warn
        self._metrics: dict[str, Metric] = {}
        self._sources: set[Connection] = set()
        self._told: set[tuple[str, Connection]] = set()
        self._n_series = 0
        self._n_dropped = 0

    @property
    def sources(self) -> Iterable[Connection]:
        """The processes that have reported and live."""
        return tuple(self._sources)

    def take(self, source: Connection, reports: list[Report]) -> None:
        """Note a process's report."""
        if source not in self._sources and not source.closed.done():
            self._sources.add(source)
            source.closed.add_done_callback(lambda _: self._end(source))
        for definition, series in ((report.definition, report.series) for report in reports):
            metric = self._metrics.setdefault(definition.name, Metric(definition))
            if metric.definition != definition:
                self._refuse(source, metric.definition, definition)
                continue
            for one in series:
                if self._n_series >= MOST_SERIES and one.tags not in metric.live.get(source, metric.gauges):
                    self._n_dropped += 1
                else:
                    self._n_series += metric.take(source, one)
        if source.closed.done():
            self._end(source)

    def families(self) -> Iterator[Family]:
        """The programs' metrics, by name."""
        if self._n_dropped:
            text = f"Reports of series beyond the first {MOST_SERIES:,}, which were dropped."
            sample = Sample("shoal_metrics_dropped_total", {}, float(self._n_dropped))
            yield Family("shoal_metrics_dropped", Definition.COUNTER, text, [sample])
        for _, metric in sorted(self._metrics.items()):
            definition = metric.definition
            samples: list[Sample] = []
            for tags, numbers in sorted(metric.totals().items()):
                labels = dict(zip(definition.tag_keys, tags, strict=True))
                samples += _samples(definition, labels, numbers)
            name = base_name(definition)
            yield Family(name, definition.kind, definition.description, samples)

    def _end(self, source: Connection) -> None:
        self._sources.discard(source)
        self._n_series -= sum(metric.end(source) for metric in self._metrics.values())
        self._told = {pair for pair in self._told if pair[1] is not source}

    def _refuse(self, source: Connection, known: Definition, other: Definition) -> None:
        if (other.name, source) not in self._told:
            self._told.add((other.name, source))
            self._warn(
                source,
                f"Process {source.pid} uses metric {other.name!r} as a {other.kind} with the tags "
                f"{list(other.tag_keys)}; it is a {known.kind} with the tags {list(known.tag_keys)} on this node, and "
                "boundaries have to be the same too. What that process measures is not counted: use another name.",
            )


class MetricCollector:
    """Asks processes to report what they have not reported yet, because somebody reads."""

    def __init__(self, table: MetricTable) -> None:
        self._table = table
        self._last_number = 0
        self._asked: dict[int, dict[Connection, asyncio.Future[None]]] = {}

    async def collect(self, wait_s: float = WAIT_S) -> None:
        """Until all have, or the wait is over: one that is stopped is not waited for longer."""
        for _ in range(2):  # reports that were sent before the question was are read, and then taken
            await asyncio.sleep(0)
        self._last_number += 1
        number, loop = self._last_number, asyncio.get_running_loop()
        asked = self._asked[number] = {source: loop.create_future() for source in self._table.sources}
        try:
            for source in asked:
                source.push(CollectMetrics(number))
            if asked:
                answers = [asyncio.ensure_future(_either(answer, source.closed)) for source, answer in asked.items()]
                _, silent = await asyncio.wait(answers, timeout=wait_s)
                for answer in silent:  # or one would wait for each time that somebody has read
                    answer.cancel()
        finally:
            del self._asked[number]

    def take(self, source: Connection, reports: list[Report], number: int) -> None:
        """A report, asked for or not."""
        self._table.take(source, reports)
        answer = self._asked.get(number, {}).get(source)
        if answer is not None and not answer.done():
            answer.set_result(None)


async def _either(one: asyncio.Future[None], other: asyncio.Future[None]) -> None:
    await asyncio.wait([one, other], return_when=asyncio.FIRST_COMPLETED)


def base_name(definition: Definition) -> str:
    """The name of a metric's family: Prometheus adds `_total` to that of a counter itself."""
    is_total = definition.kind == Definition.COUNTER and definition.name.endswith("_total")
    return definition.name[: -len("_total")] if is_total else definition.name


def _samples(definition: Definition, labels: dict[str, str], numbers: list[float]) -> Iterator[Sample]:
    name = base_name(definition)
    if definition.kind == Definition.COUNTER:
        yield Sample(f"{name}_total", labels, numbers[0])
    elif definition.kind == Definition.GAUGE:
        yield Sample(name, labels, numbers[0])
    else:
        *counts, total = numbers
        below = 0.0
        for limit, count in zip((*map(repr, definition.boundaries), "+Inf"), counts, strict=True):
            below += count
            yield Sample(f"{name}_bucket", {**labels, "le": limit}, below)
        yield Sample(f"{name}_count", labels, below)
        yield Sample(f"{name}_sum", labels, total)


def _sum(before: list[float] | None, numbers: list[float]) -> list[float]:
    return list(numbers) if before is None else [one + other for one, other in zip(before, numbers, strict=True)]

# SPDX-License-Identifier: Apache-2.0
"""Reports are added up over processes, kept when those end, and asked for when somebody reads."""

import asyncio
from typing import Any

import pytest

from shoal.node import metrics as module
from shoal.node.metrics import MetricCollector, MetricTable
from shoal.protocol.metrics import CollectMetrics, Definition, Family, Report, Series

HITS = Definition("hits", Definition.COUNTER, "Hits.", ("who",))
LEVEL = Definition("level", Definition.GAUGE, "Level.", ())
TIMES = Definition("times", Definition.HISTOGRAM, "Times.", (), (0.5, 1.0))


class Source:
    """A process's connection."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.heard: list[CollectMetrics] = []

    def push(self, message: CollectMetrics) -> None:
        self.heard.append(message)


def source(pid: int) -> Any:
    return Source(pid)


def report(definition: Definition, numbers: list[float], at_ns: int = 1, tags: tuple[str, ...] = ()) -> list[Report]:
    return [Report(definition, [Series(tags, numbers, at_ns)])]


def table() -> tuple[MetricTable, list[str]]:
    warnings: list[str] = []
    return MetricTable(lambda _, text: warnings.append(text)), warnings


def numbers(made: MetricTable) -> dict[str, float]:
    return {
        f"{sample.name}{sorted(sample.labels.items()) or ''}": sample.value
        for family in made.families()
        for sample in family.samples
    }


async def settle() -> None:
    await asyncio.sleep(0)


def test_counters_are_summed_and_what_the_dead_reported_stays() -> None:
    async def run() -> None:
        made, _ = table()
        one, other = source(1), source(2)
        made.take(one, report(HITS, [3.0], tags=("a",)))
        made.take(one, report(HITS, [5.0], at_ns=2, tags=("a",)))  # totals, not steps
        made.take(other, report(HITS, [1.0], tags=("a",)) + report(HITS, [7.0], tags=("b",)))
        assert numbers(made) == {"hits_total[('who', 'a')]": 6, "hits_total[('who', 'b')]": 7}
        one.closed.set_result(None)
        await settle()
        assert list(made.sources) == [other]
        assert numbers(made)["hits_total[('who', 'a')]"] == 6
        made.take(other, report(HITS, [2.0], at_ns=2, tags=("a",)))
        assert numbers(made)["hits_total[('who', 'a')]"] == 7

    asyncio.run(run())


def test_a_report_that_was_overtaken_changes_nothing() -> None:
    async def run() -> None:
        made, _ = table()
        one = source(1)
        made.take(one, report(HITS, [5.0], at_ns=9, tags=("a",)))
        made.take(one, report(HITS, [3.0], at_ns=8, tags=("a",)))
        assert numbers(made) == {"hits_total[('who', 'a')]": 5}

    asyncio.run(run())


def test_of_a_gauge_the_one_that_was_set_last_counts_whoever_reports_first() -> None:
    async def run() -> None:
        made, _ = table()
        one, other = source(1), source(2)
        made.take(one, report(LEVEL, [5.0], at_ns=9))
        made.take(other, report(LEVEL, [3.0], at_ns=8))
        assert numbers(made) == {"level": 5}
        made.take(other, report(LEVEL, [4.0], at_ns=10))
        other.closed.set_result(None)
        await settle()
        assert numbers(made) == {"level": 4}

    asyncio.run(run())


def test_histograms_are_cumulative_and_summed() -> None:
    async def run() -> None:
        made, _ = table()
        made.take(source(1), report(TIMES, [1.0, 2.0, 3.0, 9.5]))
        made.take(source(2), report(TIMES, [0.0, 1.0, 0.0, 0.75]))
        assert numbers(made) == {
            "times_bucket[('le', '0.5')]": 1,
            "times_bucket[('le', '1.0')]": 4,
            "times_bucket[('le', '+Inf')]": 7,
            "times_count": 7,
            "times_sum": 10.25,
        }

    asyncio.run(run())


def test_one_name_is_one_metric_and_who_says_otherwise_is_told_once() -> None:
    async def run() -> None:
        made, warnings = table()
        other = source(2)
        made.take(source(1), report(HITS, [1.0], tags=("a",)))
        for _ in range(2):
            made.take(other, report(Definition("hits", Definition.GAUGE, "Hits.", ()), [1.0]))
        assert numbers(made) == {"hits_total[('who', 'a')]": 1}
        assert len(warnings) == 1
        assert "Process 2 uses metric 'hits' as a gauge" in warnings[0]

    asyncio.run(run())


def test_series_are_bounded_and_those_left_out_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_SERIES", 2)

    async def run() -> None:
        made, _ = table()
        one = source(1)
        for at, tag in enumerate("abca"):
            made.take(one, report(HITS, [float(at)], at_ns=at, tags=(tag,)))
        assert numbers(made) == {
            "shoal_metrics_dropped_total": 1,
            "hits_total[('who', 'a')]": 3,
            "hits_total[('who', 'b')]": 1,
        }

    asyncio.run(run())


def test_processes_that_come_and_go_do_not_use_the_series_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_SERIES", 4)

    async def run() -> None:
        made, _ = table()
        for pid in range(1, 6):
            one = source(pid)
            for tag in "ab":
                made.take(one, report(HITS, [1.0], tags=(tag,)))
            one.closed.set_result(None)
            await settle()
        made.take(source(6), report(HITS, [1.0], tags=("c",)))
        assert numbers(made) == {f"hits_total[('who', '{tag}')]": n for tag, n in (("a", 5), ("b", 5), ("c", 1))}

    asyncio.run(run())


def test_the_suffix_of_a_counter_is_not_doubled() -> None:
    async def run() -> None:
        made, _ = table()
        made.take(source(1), report(Definition("x_total", Definition.COUNTER, "", ()), [1.0]))
        (family,) = made.families()
        assert family == Family("x", "counter", "", family.samples)
        assert family.samples[0].name == "x_total"

    asyncio.run(run())


def test_who_reads_waits_for_those_who_answer_and_not_for_the_dead_or_the_stopped() -> None:
    async def run() -> None:
        made, _ = table()
        collector = MetricCollector(made)
        await collector.collect()  # nobody to be asked
        answers, dies, silent = source(1), source(2), source(3)
        for one in (answers, dies, silent):
            collector.take(one, report(HITS, [1.0], tags=("a",)), 0)
        reading = asyncio.ensure_future(collector.collect(wait_s=0.05))
        while not answers.heard:
            await settle()
        collector.take(answers, report(HITS, [2.0], at_ns=2, tags=("a",)), answers.heard[0].number)
        dies.closed.set_result(None)
        await reading
        await settle()
        assert asyncio.all_tasks() == {asyncio.current_task()}  # nobody goes on to wait for the silent one
        assert numbers(made) == {"hits_total[('who', 'a')]": 4}
        collector.take(silent, report(HITS, [5.0], at_ns=2, tags=("a",)), silent.heard[0].number)  # late, not lost
        assert numbers(made) == {"hits_total[('who', 'a')]": 8}

    asyncio.run(run())

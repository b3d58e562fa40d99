# SPDX-License-Identifier: Apache-2.0
"""What one process counts, and what it reports of that."""

import threading

import pytest

from shoal.protocol.metrics import Definition
from shoal.util.metrics import values as module
from shoal.util.metrics.values import Values

HITS = Definition("hits", Definition.COUNTER, "", ("who",))
TIMES = Definition("times", Definition.HISTOGRAM, "", (), (1.0, 2.0))


def found(values: Values, *, everything: bool = False) -> dict[str, dict[tuple[str, ...], list[float]]]:
    return {
        report.definition.name: {series.tags: series.numbers for series in report.series}
        for report in values.take(everything=everything)
    }


def test_only_what_has_changed_is_reported_and_it_is_the_total() -> None:
    values = Values(lambda: None)
    cells = values.define(HITS)
    values.add(cells, ("a",), 1)
    values.add(cells, ("b",), 2)
    assert found(values) == {"hits": {("a",): [1], ("b",): [2]}}
    values.add(cells, ("a",), 3)
    assert found(values) == {"hits": {("a",): [4]}}
    assert found(values) == {}
    assert found(values, everything=True) == {"hits": {("a",): [4], ("b",): [2]}}


def test_values_fall_into_the_bucket_whose_limit_they_do_not_exceed() -> None:
    values = Values(lambda: None)
    cells = values.define(TIMES)
    for value in (0.5, 1.0, 1.5, 2.0, 2.5, -1.0):
        values.observe(cells, (), value, TIMES.boundaries)
    assert found(values) == {"times": {(): [3, 2, 1, 6.5]}}


def test_one_name_is_one_metric() -> None:
    values = Values(lambda: None)
    assert values.define(HITS) is values.define(HITS)
    with pytest.raises(ValueError, match="counter with the tags who in this process already"):
        values.define(Definition("hits", Definition.GAUGE, "", ()))


def test_series_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_SERIES", 2)
    values = Values(lambda: None)
    cells = values.define(HITS)
    assert [values.add(cells, (tag,), 1) for tag in "abcab"] == [True, True, False, True, True]


def test_threads_lose_no_update() -> None:
    values = Values(lambda: None)
    cells = values.define(HITS)

    def count() -> None:
        for _ in range(5000):
            values.add(cells, ("a",), 1)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found(values) == {"hits": {("a",): [20_000]}}


def test_a_forked_child_begins_at_zero() -> None:
    values = Values(lambda: None)
    cells = values.define(HITS)
    values.add(cells, ("a",), 5)
    values.clear()
    values.add(cells, ("a",), 1)
    assert found(values) == {"hits": {("a",): [1]}}

# SPDX-License-Identifier: Apache-2.0
"""Metrics of programs on a node: from drivers, tasks and actors, while these live and after they died."""

import gc
import os
import pickle
import signal
import subprocess
import sys
import threading
import urllib.request
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from tests.util.waiting import eventually

import shoal
from shoal.link import Link
from shoal.protocol.conversation import Request
from shoal.protocol.metrics import ReadMetrics, ReportMetrics
from shoal.runtime import connected
from shoal.util.metrics import Counter, Gauge, Histogram, Metric, reporting
from shoal.util.metrics.reporting import reporter

NEVER_S = 3600.0


@pytest.fixture(autouse=True)
def only_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """After its first update a process tells nothing of its own accord, so a count that is read was asked for."""
    monkeypatch.setattr(reporting, "INTERVAL_S", NEVER_S)


@pytest.fixture
def url() -> Iterator[str]:
    with shoal.init(num_cpus=2, metrics_export_port=0) as context:
        assert context.metrics_url is not None
        yield context.metrics_url


def scrape(url: str) -> dict[str, float]:
    with urllib.request.urlopen(url, timeout=30) as response:
        lines = response.read().decode().splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line and line[0] != "#"}


def numbers() -> dict[str, float]:
    """The same, asked of the daemon."""
    families = connected().link.request(ReadMetrics()).families
    return {
        f"{one.name}{one.labels or ''}": one.value
        for family in families
        for one in family.samples
        if not family.name.startswith("shoal_")
    }


def await_numbers(expected: dict[str, float]) -> None:
    """Read until these are found: a reader does not wait long for a process that is slow to answer."""
    eventually(lambda: expected.items() <= numbers().items())


@shoal.remote
class Counting:
    def __init__(self, name: str) -> None:
        reporting.INTERVAL_S = NEVER_S
        self.hits = Counter("hits", "Hits.", tag_keys=("who",))
        self.hits.set_default_tags({"who": name})

    def hit(self, n: int, metric: Any = None) -> int:
        for _ in range(n):
            (metric or self.hits).inc()
        return os.getpid()


@shoal.remote
def task(value: float) -> None:
    reporting.INTERVAL_S = NEVER_S
    Histogram("sizes", "Sizes.", boundaries=[1, 10]).observe(value)
    Gauge("last").set(value)


def test_what_every_kind_of_process_measures_is_there_when_it_is_read(url: str) -> None:
    first, second = Counting.remote("a"), Counting.remote("b")
    mine = Counter("hits", "Hits.", tag_keys=("who",))
    shoal.get([first.hit.remote(3), second.hit.remote(4)])
    mine.inc(2.5, {"who": "driver"})
    for value in (0.5, 5, 50):
        shoal.get(task.remote(value))
    expected = {f'hits_total{{who="{who}"}}': n for who, n in (("a", 3), ("b", 4), ("driver", 2.5))}
    expected |= {f'sizes_bucket{{le="{limit}"}}': n for limit, n in (("1.0", 1), ("10.0", 2), ("+Inf", 3))}
    expected |= {"sizes_count": 3, "sizes_sum": 55.5, "last": 50}
    eventually(lambda: expected.items() <= scrape(url).items())
    found = scrape(url)
    assert found['shoal_processes{kind="DRIVER",state="RUNNING"}'] == 1
    assert found['shoal_resources{name="CPU",state="total"}'] == 2
    eventually(lambda: scrape(url)["shoal_tasks_completed_total"] == 7)  # counted after the result is there


@pytest.mark.usefixtures("shoal_node")
def test_a_metric_can_be_passed_on_and_counts_where_it_is_used() -> None:
    actor = Counting.remote("a")
    passed = Counter("passed", tag_keys=("k",))
    passed.set_default_tags({"k": "v"})
    shoal.get(actor.hit.remote(2, passed))
    passed.inc()
    await_numbers({"passed_total{'k': 'v'}": 3})


@pytest.mark.usefixtures("shoal_node")
def test_numpys_numbers_are_numbers() -> None:
    Counter("counted").inc(np.float64(1.5))
    Gauge("measured").set(np.float32(2))
    Histogram("spread", boundaries=[np.float64(1), 2]).observe(np.int64(3))
    await_numbers({"counted_total": 1.5, "measured": 2, "spread_sum": 3})


@pytest.mark.usefixtures("shoal_node")
def test_what_was_reported_of_a_process_that_is_killed_stays() -> None:
    actor = Counting.remote("a")
    pid = shoal.get(actor.hit.remote(5))
    await_numbers({"hits_total{'who': 'a'}": 5})  # reported by now
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(shoal.ActorDiedError):
        shoal.get(actor.hit.remote(1))
    assert numbers()["hits_total{'who': 'a'}"] == 5


@pytest.mark.usefixtures("shoal_node")
def test_a_process_that_ends_reports_first_and_nobody_has_to_read() -> None:
    actor = Counting.remote("a")
    shoal.get(actor.hit.remote(1))
    shoal.get(actor.hit.remote(5))
    del actor  # it exits by itself
    eventually(lambda: numbers().get("hits_total{'who': 'a'}") == 6)


@pytest.mark.usefixtures("shoal_node")
def test_a_stopped_process_delays_a_reader_by_a_second_at_most() -> None:
    actor = Counting.remote("a")
    pid = shoal.get(actor.hit.remote(5))
    await_numbers({"hits_total{'who': 'a'}": 5})
    os.kill(pid, signal.SIGSTOP)
    try:
        assert numbers()["hits_total{'who': 'a'}"] == 5
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.usefixtures("shoal_node")
def test_a_forked_child_does_not_count_for_its_parent() -> None:
    counter = Counter("forks")
    counter.inc(10)
    pid = os.fork()
    if pid == 0:
        counter.inc(100)
        os._exit(0 if [r.series[0].numbers for r in reporter.values.take()] == [[100.0]] else 1)
    assert os.waitpid(pid, 0)[1] == 0
    await_numbers({"forks_total": 10})


def test_counts_of_a_driver_go_on_from_one_node_to_the_next() -> None:
    counter = Counter("nodes")
    counter.inc()
    for expected in (2, 3):
        with shoal.init(num_cpus=1):
            counter.inc()
            await_numbers({"nodes_total": expected})


def reporting_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "shoal-metrics"]


def test_a_driver_counts_without_a_node_and_its_thread_lives_as_long_as_a_connection() -> None:
    counter = Counter("early")

    for total in (1, 2):
        counter.inc()
        assert reporting_threads() == []
        with shoal.init(num_cpus=1):
            await_numbers({"early_total": total})
            assert len(reporting_threads()) == 1
        eventually(lambda: reporting_threads() == [])


def test_inline_mode_counts_and_has_no_daemon_to_tell() -> None:
    counter = Counter("inline")
    with shoal.init(mode="inline"):
        for _ in range(3):
            counter.inc()
        assert len(reporting_threads()) == 1  # it does not fail
        eventually(lambda: connected() is reporter._known_to)
    eventually(lambda: reporting_threads() == [])
    found = {r.definition.name: r.series[0].numbers for r in reporter.values.take(everything=True)}
    assert found["inline"] == [3]


def test_there_is_no_endpoint_unless_it_is_asked_for_and_a_taken_port_is_refused(url: str) -> None:
    port = int(url.split(":")[2].split("/")[0])
    program = (
        "import shoal\n"
        "try:\n"
        f"    shoal.init(num_cpus=1, metrics_export_port={port})\n"
        "except shoal.NodeStartError as error:\n"
        "    print(error)\n"
        "with shoal.init(num_cpus=1) as context:\n"
        "    print(context.metrics_url)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    refused, nothing = done.stdout.splitlines()[0], done.stdout.splitlines()[-1]
    assert f"metrics_export_port={port} cannot be had" in refused
    assert nothing == "None"


def test_importing_shoal_imports_no_library_of_metrics() -> None:
    program = (
        "import sys, shoal; print([name for name in sys.modules if 'prometheus' in name or 'util.metrics' in name])"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "[]\n"


def test_metrics_describe_themselves_and_survive_pickling() -> None:
    histogram = Histogram("described", "Text.", [1, 2.5], ("a", "b"))
    assert histogram.set_default_tags({"a": "x"}) is histogram
    for one in (histogram, pickle.loads(pickle.dumps(histogram))):
        assert one.info == {
            "name": "described",
            "description": "Text.",
            "tag_keys": ("a", "b"),
            "default_tags": {"a": "x"},
            "boundaries": [1, 2.5],
        }
    assert repr(Counter("c")) == "<Counter c>"


def test_record_is_another_name() -> None:
    for metric in (Counter("recorded_counter"), Gauge("recorded_gauge"), Histogram("recorded", boundaries=[1])):
        metric.record(1)
    found = {r.definition.name: r.series[0].numbers for r in reporter.values.take(everything=True)}
    assert found["recorded_counter"] == found["recorded_gauge"] == [1]
    assert found["recorded"] == [1, 0, 1]


def test_what_cannot_be_meant_is_refused_at_once() -> None:
    for name in ("", "with space", "1st", "shoal_mine"):
        with pytest.raises(ValueError, match="name"):
            Counter(name)
    with pytest.raises(TypeError, match="name"):
        Counter(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="abstract class Metric"):
        Metric("base")
    with pytest.raises(TypeError, match="tuple of strings"):
        Counter("bad", tag_keys="abc")
    for keys in (("le",), ("a-b",), ("__a",), ("a", "a")):
        with pytest.raises(ValueError, match="tag"):
            Counter("bad", tag_keys=keys)
    for boundaries in (None, [], [0, 1], [1, 1], [2, 1], [float("inf")]):
        with pytest.raises(ValueError, match="boundaries"):
            Histogram("bad", boundaries=boundaries)
    counter = Counter("refusing", tag_keys=("a",))
    for amount in (0, -1, float("nan"), float("inf"), 10**400):
        with pytest.raises(ValueError, match="grow"):
            counter.inc(amount, {"a": "x"})
    with pytest.raises(TypeError, match="number"):
        counter.inc("1", {"a": "x"})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="needs the tags a"):
        counter.inc()
    with pytest.raises(ValueError, match="has no tag 'b'; its tag_keys are: a"):
        counter.inc(1, {"b": "x"})
    with pytest.raises(TypeError, match="must be a string"):
        counter.set_default_tags({"a": 1})  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="UTF-8"):
        counter.inc(1, {"a": "half a pair: \ud800"})
    with pytest.raises(ValueError, match="UTF-8"):
        Gauge("described", "\ud800")
    with pytest.raises(ValueError, match="NaN"):
        Histogram("nans", boundaries=[1]).observe(float("nan"))
    with pytest.raises(ValueError, match="is a counter with the tags a in this process already"):
        Gauge("refusing")
    for port in (-1, 1 << 16):
        with pytest.raises(ValueError, match="metrics_export_port"):
            shoal.init(metrics_export_port=port)
    with pytest.raises(TypeError, match="metrics_export_port"):
        shoal.init(metrics_export_port="8080")  # type: ignore[arg-type]


def is_collected(one: weakref.ref[Any]) -> bool:
    gc.collect()
    return one() is None


def test_nothing_of_a_connection_is_kept_when_it_has_ended() -> None:
    with shoal.init(num_cpus=1):
        Counter("kept").inc()
        client = weakref.ref(connected().client)
    eventually(lambda: is_collected(client))  # or the memory of the node would stay mapped


@pytest.mark.parametrize("patience_s", [reporting.END_TIMEOUT_S, 0.0])
def test_a_report_that_takes_long_keeps_nothing_of_its_connection(
    monkeypatch: pytest.MonkeyPatch, patience_s: float
) -> None:
    tell = Link.tell

    def tell_slowly(link: Link, message: Request[Any]) -> None:
        tell(link, message)
        if isinstance(message, ReportMetrics):
            me = threading.current_thread()
            eventually(lambda: reporter._thread is not me)  # the driver disconnects

    with shoal.init(num_cpus=1):
        monkeypatch.setattr(Link, "tell", tell_slowly)
        monkeypatch.setattr(reporting, "END_TIMEOUT_S", patience_s)
        Counter("told_slowly").inc()
        client = weakref.ref(connected().client)
    eventually(lambda: is_collected(client))

# SPDX-License-Identifier: Apache-2.0
"""Messages about metrics: what processes have counted and measured, on its way to who wants to know."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from shoal.protocol.conversation import Push, Reply, Request


class Definition(msgspec.Struct, frozen=True, array_like=True):
    """What a metric is, the same in all processes that use it."""

    name: str
    kind: str  # one of the constants below
    description: str
    tag_keys: tuple[str, ...]
    boundaries: tuple[float, ...] = ()  # of a histogram

    COUNTER: ClassVar[str] = "counter"
    GAUGE: ClassVar[str] = "gauge"
    HISTOGRAM: ClassVar[str] = "histogram"


class Series(msgspec.Struct, frozen=True, array_like=True):
    """The value of a metric under one set of tags, in one process.

    A counter's sum; a gauge's last value; of a histogram how many values fell into each bucket, the last one without a
    limit, then their sum. Counts are since the process began, so that a report may be repeated or lost."""

    tags: tuple[str, ...]  # in the order of the keys
    numbers: list[float]
    at_ns: int  # when it was last changed, by the clock that all processes of the machine share


class Report(msgspec.Struct, frozen=True, array_like=True):
    """What has changed of one metric."""

    definition: Definition
    series: list[Series]


class MetricsTaken(Reply, frozen=True):
    """Noted."""


class ReportMetrics(Request[MetricsTaken], frozen=True):
    """What a process has counted and measured since its last report."""

    reports: list[Report]
    number: int = 0  # of the `CollectMetrics` that this answers; 0: unasked


class CollectMetrics(Push, frozen=True):
    """A process is to report now."""

    number: int


class Sample(msgspec.Struct, frozen=True):
    """One number, as Prometheus names it."""

    name: str
    labels: dict[str, str]
    value: float


class Family(msgspec.Struct, frozen=True):
    """All numbers of one metric, over the whole node."""

    name: str
    kind: str
    description: str
    samples: list[Sample]


class Metrics(Reply, frozen=True):
    """The metrics of a node: its own, then those of its programs."""

    families: list[Family]


class ReadMetrics(Request[Metrics], frozen=True):
    """All of them as they are now."""


MetricRequest = ReportMetrics | ReadMetrics
MetricReply = MetricsTaken | CollectMetrics | Metrics

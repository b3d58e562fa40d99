# SPDX-License-Identifier: Apache-2.0
"""Metrics as the text that Prometheus reads. Needs prometheus-client, the extra `metrics`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from typing import Any

from shoal.protocol.metrics import Family

LIBRARY = "prometheus_client"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
HOW_TO_INSTALL = "pip install 'shoal[metrics]'"


def is_available() -> bool:
    """Whether the library is installed."""
    return find_spec(LIBRARY) is not None


class _Given:
    """Gives the library what was collected."""

    def __init__(self, families: Iterable[Family]) -> None:
        self._families = families

    def collect(self) -> Iterator[Any]:
        from prometheus_client import Metric

        for family in self._families:
            metric = Metric(family.name, family.description, family.kind)
            for sample in family.samples:
                metric.add_sample(sample.name, sample.labels, sample.value)
            yield metric


def to_text(families: Iterable[Family]) -> bytes:
    """The exposition format, UTF-8. Raises ImportError without the library."""
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry()
    registry.register(_Given(tuple(families)))
    text: bytes = generate_latest(registry)
    return text

# SPDX-License-Identifier: Apache-2.0
"""Spans of user code on the timeline."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from shoal import runtime
from shoal._core._node import is_tracing, trace_span


@contextmanager
def profile(name: str) -> Iterator[None]:
    """A span of the caller's code on the timeline, if the node traces: what is done in a `with` block over it.

    `name`: what it is called there; 40 bytes of it are kept."""
    connection = runtime.connection
    if connection is None or not is_tracing(connection.client):
        yield
        return
    begin_ns = time.monotonic_ns()
    try:
        yield
    finally:
        trace_span(connection.client, name.encode("utf-8", "replace"), begin_ns, time.monotonic_ns())

# SPDX-License-Identifier: Apache-2.0
"""Holding every CPU of a system with tasks that sleep in the kernel, so that later tasks stay queued."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def held(n_cpus: int, start: Callable[[str], Any], finish: Callable[[list[Any]], object]) -> Iterator[None]:
    """Inside this context `n_cpus` tasks wait at a gate.

    `start(path)` submits a task that opens the fifo `path` for reading, which blocks until this process opens it for
    writing; `finish(handles)` waits for such tasks.
    """
    with tempfile.TemporaryDirectory() as folder:
        gate = Path(folder) / "gate"
        os.mkfifo(gate)
        holders = [start(str(gate)) for _ in range(n_cpus)]
        try:
            yield
        finally:
            # O_RDWR does not wait for a reader, and a task that comes late still finds a writer.
            writer = os.open(gate, os.O_RDWR)
            finish(holders)
            os.close(writer)

# SPDX-License-Identifier: Apache-2.0
"""One pass over one system's rows in a child process, which may fail, hang or die without stopping the benchmark.

A row that hangs or kills the child becomes a failed row, and a new child goes on with the rows after it.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

import psutil

CHILD = Path(__file__).resolve().parents[1] / "child.py"
ROW_LIMIT_S = 150.0
END_OF_OUTPUT = None

Line = dict[str, Any]


def run_session(
    command: list[str],
    *,
    rows: list[str] | None = None,
    row_limit_s: float = ROW_LIMIT_S,
    on_start: Callable[[str], object] = lambda row: None,
) -> Iterator[Line]:
    """The lines of a child started by `command`: its version, then one for each row.

    `rows` restricts it to rows of these names. A row without a result within `row_limit_s` seconds, or whose child
    ended, yields a line with `failure`. `on_start` is told the name of each row as it begins.
    """
    is_version_known = False
    rows = None if rows is None else list(rows)
    while rows is None or rows:
        asked = [argument for row in rows or () for argument in ("--row", row)]
        with _Child([*command, *asked]) as child:
            while True:
                line = child.next_line(row_limit_s)
                if isinstance(line, str):
                    reason = line
                    break
                if "version" in line:
                    rows = list(line["rows"])
                    if not is_version_known:
                        is_version_known = True
                        yield line
                elif "start" in line:
                    on_start(line["start"])
                    child.row = line["start"]
                else:
                    rows = [row for row in rows or () if row != line["row"]]
                    child.row = None
                    yield line
            culprit = child.row
        if not is_version_known or rows is None:
            yield {"failure": f"failed: {reason}"}
            return
        if culprit is None and rows:
            # It died between two rows: blame the next one, so that every new child gets further than the last.
            culprit = rows[0]
        if culprit is None:
            return
        rows.remove(culprit)
        yield {"row": culprit, "failure": f"failed: {reason}"}


class _Child:
    """A child process that prints JSON lines; leaving the context ends it and everything it started."""

    def __init__(self, command: list[str]) -> None:
        self.row: str | None = None
        self._exit = contextlib.ExitStack()
        self._errors = self._exit.enter_context(tempfile.TemporaryFile("w+"))  # noqa: SIM115
        self._process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
            env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0"},
        )
        assert self._process.stdout is not None
        self._lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=_pump, args=(self._process.stdout, self._lines), daemon=True).start()

    def next_line(self, limit_s: float) -> Line | str:
        """The next line, or a text that says why there will be none."""
        try:
            text = self._lines.get(timeout=limit_s)
        except queue.Empty:
            return f"no result within {limit_s:.0f} s"
        if text is END_OF_OUTPUT:
            return self._last_words()
        line: Line = json.loads(text)
        return line

    def _last_words(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=10)
        self._errors.seek(0)
        words = [line.strip() for line in self._errors if line.strip()]
        return f"the process ended with status {self._process.poll()}: {words[-1] if words else 'no message'}"[:300]

    def __enter__(self) -> _Child:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            family = psutil.Process(self._process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            family = []
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()
        self._exit.close()


def _pump(stream: TextIO, lines: queue.Queue[str | None]) -> None:
    for line in stream:
        lines.put(line)
    lines.put(END_OF_OUTPUT)

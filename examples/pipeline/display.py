# SPDX-License-Identifier: Apache-2.0
"""Shows a running job: a progress bar with a live line on a terminal, plain lines anywhere else."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column

SECONDS_BETWEEN_LINES = 1.0  # into a file or a pipe; a terminal is redrawn ten times a second


class Display:
    """One bar per stage. A context manager: the bars live from enter to exit."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            SpinnerColumn(),
            # Widths for a terminal of 80 columns: the line may take 45, and only the bar gives way on narrower ones.
            TextColumn("[bold]{task.description:<8}", table_column=Column(no_wrap=True)),
            BarColumn(bar_width=14),
            TextColumn("{task.fields[line]}", table_column=Column(no_wrap=True)),
            TimeElapsedColumn(table_column=Column(min_width=7, no_wrap=True)),
            console=console,
            disable=not console.is_terminal,
        )
        self._bars: dict[str, TaskID] = {}
        self._last_line_s = time.monotonic()

    def __enter__(self) -> Display:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, stage: str, fraction: float, line: str) -> None:
        """Say how far a stage is (0 to 1), and how it goes. Call it as often as there is news."""
        self._move(stage, fraction, line)
        now_s = time.monotonic()
        if not self._console.is_terminal and now_s - self._last_line_s >= SECONDS_BETWEEN_LINES:
            self._last_line_s = now_s
            self._print(stage, line)

    def finish(self, stage: str, line: str) -> None:
        """Say how a stage ended; its bar stops."""
        self._move(stage, 1.0, line)
        self._progress.stop_task(self._bars[stage])
        if not self._console.is_terminal:
            self._print(stage, line)

    def _move(self, stage: str, fraction: float, line: str) -> None:
        if stage not in self._bars:
            self._bars[stage] = self._progress.add_task(stage, total=1.0, line="")
        self._progress.update(self._bars[stage], completed=min(max(fraction, 0.0), 1.0), line=line)

    def _print(self, stage: str, line: str) -> None:
        self._console.print(f"{stage:<8} {line}", highlight=False, markup=False, soft_wrap=True)

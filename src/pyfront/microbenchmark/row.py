# SPDX-License-Identifier: Apache-2.0
"""One row of the benchmark: what is measured, in which unit, and the function that measures it.

A row knows only a module-like `api` with Ray's names (`remote`, `get`, `put`, `wait`, ...), so the very same code runs
on Shoal and on Ray. It imports nothing from the rest of Shoal: the package can be loaded in an environment that has
only Ray installed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .bench import Bench

# Units of a rate end in "/s": more is better. Everything else (time, memory) is a cost: less is better.
RATE_SUFFIX = "/s"


class RowSkipped(Exception):
    """Raised by a row that does not apply to this system; the text says why."""


@dataclass(frozen=True)
class Measurement:
    """One measured value, in the unit of its row.

    `n` is the batch size where the row had to fit it to the speed of the system, else None. `note` is free text.
    """

    value: float
    n: int | None = None
    note: str = ""

    def scaled(self, factor: float, note: str = "") -> Measurement:
        """The same measurement in another unit: the value times `factor`; `note`, if given, replaces the note."""
        return Measurement(self.value * factor, self.n, note or self.note)


@dataclass(frozen=True)
class Row:
    """A named measurement. `measure` gets a `Bench` and returns a value in `unit`."""

    name: str
    unit: str
    measure: Callable[[Bench], Measurement]

    @property
    def more_is_better(self) -> bool:
        """Whether a larger value is the better one: true for rates, false for times and memory."""
        return self.unit.endswith(RATE_SUFFIX)

# SPDX-License-Identifier: Apache-2.0
"""What a chaos run really did: how often each fault struck, how long each consequence took, from which seed.

A test counts (`tally.count("workers killed")`) and times (`tally.took("node gone", seconds, limit_s=2.0)`). A long run
shows a line of progress every few seconds; every run ends with a table.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from .limits import within

PROGRESS_EVERY_S = 10.0


@dataclass
class Times:
    """How long one consequence took, each time, and how long it may take on an idle machine."""

    limit_s: float
    seen_s: list[float] = field(default_factory=list)

    def summary(self) -> str:
        """Median, 99th percentile and worst against the limit."""
        ordered = sorted(self.seen_s)
        n_late = sum(seen_s > self.limit_s for seen_s in ordered)
        middle, high, worst = (_say(ordered[min(len(ordered) - 1, int(len(ordered) * q))]) for q in (0.5, 0.99, 1.0))
        late = f", {n_late} later than that" if n_late else ""
        return f"median {middle}, 99 % {high}, worst {worst} of {len(ordered)}; limit {_say(self.limit_s)}{late}"


class Tally:
    """One test's account. `show` gets its lines of progress."""

    def __init__(self, name: str, seed: int, show: Callable[[str], None]) -> None:
        self.name = name
        self.seed = seed
        self.counts: dict[str, int] = {}
        self.times: dict[str, Times] = {}
        self._show = show
        self._started_s = self._shown_s = time.monotonic()
        self.lasted_s = 0.0

    def count(self, what: str, n: int = 1) -> None:
        """`what` has happened n more times."""
        self.counts[what] = self.counts.get(what, 0) + n
        now_s = time.monotonic()
        if now_s - self._shown_s >= PROGRESS_EVERY_S:
            self._shown_s = now_s
            self._show(f"{self.name}: {self.said()} in {now_s - self._started_s:.0f} s, SHOAL_SEED={self.seed}")

    def took(self, what: str, seconds: float, limit_s: float) -> None:
        """`what` took so long; fails if that is over the limit, stretched by the machine's load."""
        self.times.setdefault(what, Times(limit_s)).seen_s.append(seconds)
        allowed_s = within(limit_s)
        assert seconds <= allowed_s, f"{what}: {_say(seconds)}, at most {_say(allowed_s)} on this machine now"

    def median_s(self, what: str) -> float:
        """The middle of what `took` was told."""
        seen_s = sorted(self.times[what].seen_s)
        return seen_s[len(seen_s) // 2]

    @contextmanager
    def timing(self, what: str, limit_s: float) -> Iterator[None]:
        """`took` for what happens inside."""
        started_s = time.monotonic()
        yield
        self.took(what, time.monotonic() - started_s, limit_s)

    def finish(self) -> None:
        """The test is over."""
        self.lasted_s = time.monotonic() - self._started_s

    def said(self) -> str:
        """The counts in one line."""
        return ", ".join(f"{n:,} {what}" for what, n in self.counts.items())

    def lines(self) -> list[str]:
        """The account as text."""
        head = f"{self.name}: {self.lasted_s:.1f} s, SHOAL_SEED={self.seed}"
        body = [self.said()] if self.counts else []
        return [head, *(f"    {line}" for line in body + [f"{what}: {t.summary()}" for what, t in self.times.items()])]


def _say(seconds: float) -> str:
    return f"{seconds * 1e3:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"

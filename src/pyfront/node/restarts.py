# SPDX-License-Identifier: Apache-2.0
"""How often one actor may be restarted, when, and what became of its processes. Pure: no core, no clock."""

from __future__ import annotations

import msgspec

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 10.0
KEPT_ENDS = 5


class Restarts(msgspec.Struct):
    """`limit`: `max_restarts`, -1 without end."""

    limit: int = 0
    n_begun: int = 0
    n_in_vain: int = 0  # in a row: processes that ended before the constructor had run again
    is_over: bool = False  # whoever ends it now does not want another one
    ends: list[str] = msgspec.field(default_factory=list)  # how the last few processes ended

    @property
    def is_left(self) -> bool:
        """Whether the death of the present process is followed by another one."""
        return not self.is_over and (self.limit < 0 or self.n_begun < self.limit)

    def begin(self, end: str) -> float:
        """The process ended so; another one is due -> seconds until then.

        None at first; doubling while one after the other ends before its constructor is through."""
        self.ends = [*self.ends, end][-KEPT_ENDS:]
        self.n_begun += 1
        pause_s = min(FIRST_PAUSE_S * 2.0 ** (self.n_in_vain - 1), LONGEST_PAUSE_S) if self.n_in_vain else 0.0
        self.n_in_vain += 1
        return pause_s

    def succeeded(self) -> None:
        """The constructor has run again."""
        self.n_in_vain = 0

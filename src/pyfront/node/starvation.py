# SPDX-License-Identifier: Apache-2.0
"""When to tell a driver that its calls wait for resources. Pure: time comes in.

A demand beyond what the node has is told every 30 s for as long as something waits for it. One that could be met is
told only if it is not for CPUs alone (a long queue is no defect), and once.
"""

from __future__ import annotations

from typing import NamedTuple

PERIOD_S = 30.0


class Wait(NamedTuple):
    """What some call, or a group, waits for."""

    who: str
    what: str  # and why it is not there
    shortage: str | None  # why it never will be
    is_queue: bool  # for CPUs alone, behind others


class Starvation:
    """Remembers what was told."""

    def __init__(self) -> None:
        self._told_s: dict[int, float] = {}

    def told(self, class_id: int, now_s: float) -> None:
        """The driver has just been told about this class in another way."""
        self._told_s[class_id] = now_s

    def warning(self, class_id: int, wait: Wait, waited_s: float, now_s: float) -> str | None:
        """What to tell about a class that has waited this long; None: nothing now."""
        last_s = self._told_s.get(class_id)
        if wait.shortage is not None:
            is_due = last_s is None or now_s - last_s >= PERIOD_S
            text = f"{wait.who} has waited {waited_s:.0f} s for resources. {wait.shortage}"
        else:
            is_due = last_s is None and waited_s >= PERIOD_S and not wait.is_queue
            text = f"{wait.who} has waited {waited_s:.0f} s for {wait.what}."
        if not is_due:
            return None
        self._told_s[class_id] = now_s
        return text

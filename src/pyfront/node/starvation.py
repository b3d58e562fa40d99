# SPDX-License-Identifier: Apache-2.0
"""When to tell a driver that its calls wait for resources. Pure: time comes in.

A demand beyond what the node has is told every 30 s for as long as something waits for it. One that could be met is
told only if it is not for CPUs alone (a long queue is no defect), and once.
"""

from __future__ import annotations

from collections.abc import Mapping

from shoal.node.resources import CPU, Ledger

PERIOD_S = 30.0


class Starvation:
    """Remembers what was told."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._told_s: dict[int, float] = {}

    def told(self, class_id: int, now_s: float) -> None:
        """The driver has just been told about this class in another way."""
        self._told_s[class_id] = now_s

    def warning(self, class_id: int, resources: Mapping[str, float], waited_s: float, now_s: float) -> str | None:
        """What to tell about a class whose oldest call has waited this long; None: nothing now."""
        shortage = self._ledger.shortage(resources)
        last_s = self._told_s.get(class_id)
        if shortage is not None:
            is_due = last_s is None or now_s - last_s >= PERIOD_S
            text = f"A call has waited {waited_s:.0f} s for resources. {shortage}"
        else:
            is_due = last_s is None and waited_s >= PERIOD_S and set(resources) != {CPU}
            demand = ", ".join(f"{name}: {amount:g}" for name, amount in resources.items())
            text = (
                f"A call has waited {waited_s:.0f} s for {{{demand}}}. The node has that much, but others hold it: "
                "actors keep what they asked for while they live."
            )
        if not is_due:
            return None
        self._told_s[class_id] = now_s
        return text

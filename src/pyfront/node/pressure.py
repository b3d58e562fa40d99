# SPDX-License-Identifier: Apache-2.0
"""When the node is short of memory, and who goes first. Pure: a reading and candidates come in, a decision goes out.

The newest task that will be run again is ended first: that loses the least work, and nothing that the program sees.
Who holds next to nothing is spared, because its end would help nobody; if it grows, the next look finds it. Daemon,
zygote and drivers are never candidates.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from shoal.memory import MIB, NodeMemory

WORTHWHILE_BYTES = 32 * MIB  # an idle worker holds 10 to 20
NEAR = 0.1  # of the node: closer than this to the threshold we look often
SELDOM_S, OFTEN_S = 1.0, 0.1


class Candidate(NamedTuple):
    """A task that runs, or an actor."""

    client: int  # its index, with the epoch
    epoch: int
    is_retriable: bool  # it is run again, or restarted, and may be ended for memory once more
    since_ns: int  # when it began
    held_bytes: int  # private


def is_short(reading: NodeMemory, threshold: float) -> bool:
    """Whether somebody must go."""
    return threshold < 1 and reading.usage > threshold


def next_look_s(reading: NodeMemory, threshold: float) -> float:
    """Seconds until the next reading is worth its price."""
    return OFTEN_S if threshold < 1 and reading.usage > threshold - NEAR else SELDOM_S


def choose_victim(candidates: Iterable[Candidate]) -> Candidate | None:
    """Who is to be ended. None if nobody's end would help."""
    return max(
        (one for one in candidates if one.held_bytes >= WORTHWHILE_BYTES),
        key=lambda one: (one.is_retriable, one.since_ns),
        default=None,
    )

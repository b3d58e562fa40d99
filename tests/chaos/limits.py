# SPDX-License-Identifier: Apache-2.0
"""Bounds in time that hold on a machine with other work too: stretched by what it has to do now."""

import os


def stretch() -> float:
    """How much longer than on an idle machine something may take, from the load of the last minute."""
    return max(1.0, 1.5 * os.getloadavg()[0] / (os.cpu_count() or 1))


def within(limit_s: float) -> float:
    """A limit for an idle machine -> the limit now, in seconds."""
    return limit_s * stretch()

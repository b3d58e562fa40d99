# SPDX-License-Identifier: Apache-2.0
"""What a driver prints when nothing has moved for a while: who waits for what."""

from __future__ import annotations

import sys
import warnings
from contextlib import suppress

from shoal.errors import ShoalError

MOST_LINES = 60


def print_hang(still_s: float) -> None:
    """To stderr; never raises for a terminal that is gone."""
    from shoal.util.state import why

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            lines = [line for reason in why() for line in reason.lines("  ")]
        except (ShoalError, OSError) as error:
            lines = [f"  it cannot be told: {error}"]
    left_out = [f"  and {len(lines) - MOST_LINES} lines more"] if len(lines) > MOST_LINES else []
    text = (
        f"shoal: nothing has moved for {still_s:.0f} s: this driver waits, no call has begun or ended, and no process "
        "has computed. Who waits for what, as `shoal why` tells it (SHOAL_HANG_AFTER_S=0: never):\n"
    )
    with suppress(Exception):  # nobody reads any more, or it is none: see `LogPrinter`
        sys.stderr.write(text + "\n".join([*lines[:MOST_LINES], *left_out]) + "\n")
        sys.stderr.flush()

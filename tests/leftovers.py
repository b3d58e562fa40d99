# SPDX-License-Identifier: Apache-2.0
"""What a part of a test adds to this process: threads and descriptors that were not there before it.

Others' may end meanwhile, when an earlier test's garbage is collected, say; so nothing here counts, or compares what
there was before with what there is now.
"""

import os
import threading
import time

STEP_S = 0.01

Descriptor = tuple[int, str]  # its number, and what it stands for
pause = threading.Event().wait


def threads() -> set[threading.Thread]:
    """Those that were started by `threading`. A thread of others (C, `_thread`) that passed through it is none."""
    return {thread for thread in threading.enumerate() if not isinstance(thread, threading._DummyThread)}


def threads_left(before: set[threading.Thread], limit_s: float) -> list[threading.Thread]:
    """Those that were not there before and have not ended within the limit."""
    until_s = time.monotonic() + limit_s
    while (left := threads() - before) and time.monotonic() < until_s:
        pause(STEP_S)
    return sorted(left, key=lambda thread: thread.name)


def descriptors() -> set[Descriptor]:
    """Those that are open."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            found.add((int(name), os.readlink(f"/proc/self/fd/{name}")))
        except FileNotFoundError:  # of the listing itself
            continue
    return found

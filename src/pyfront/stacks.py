# SPDX-License-Identifier: Apache-2.0
"""What the Python threads of this process run now, as text. For somebody else to read: nothing is stopped or traced."""

from __future__ import annotations

import sys
import threading


def dump_stacks() -> str:
    """The stack of each Python thread but the calling one, innermost frame last, the main thread first."""
    from traceback import format_stack  # costs milliseconds to import, and hardly any process is ever asked

    here = threading.get_ident()
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    main = threading.main_thread().ident
    frames = sorted(sys._current_frames().items(), key=lambda item: item[0] != main)
    parts = []
    for ident, frame in frames:
        if ident != here:
            stack = "".join(format_stack(frame))
            parts.append(f"Thread {names.get(ident, ident)}:\n{stack}")
    return "\n".join(parts)

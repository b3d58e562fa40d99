# SPDX-License-Identifier: Apache-2.0
"""Names inside a worker's output: which task or actor the lines that follow belong to.

A worker writes a mark in front of its own output when another task prints than the one before; the daemon takes the
marks out. Output of C libraries and of child processes goes the same way and keeps the last name. A mark is a line of
its own and begins with a byte that text does not contain.
"""

from __future__ import annotations

MARK = b"\x1eshoal "


def name_mark(name: str) -> bytes:
    """The line that names what prints from here on; written before, never inside, a line."""
    return MARK + name.replace("\n", " ").encode("utf-8", "replace") + b"\n"


def marked_name(line: bytes) -> str | None:
    """The name if this line (without its newline) is a mark."""
    return line[len(MARK) :].decode("utf-8", "replace") if line.startswith(MARK) else None

# SPDX-License-Identifier: Apache-2.0
"""Writing the measured table into README.md, between two marks."""

from __future__ import annotations

from pathlib import Path

BEGIN = "<!-- bench:begin -->"
END = "<!-- bench:end -->"


def replace_block(text: str, block: str) -> str:
    """`text` with what stands between the marks replaced by `block`.

    Raises ValueError unless each mark is there once.
    """
    before, begin, rest = text.partition(BEGIN)
    _old, end, after = rest.partition(END)
    if not begin or not end or BEGIN in after or END in after:
        raise ValueError(f"expected one {BEGIN} and, after it, one {END}")
    return f"{before}{BEGIN}\n{block}\n{END}{after}"


def rewrite(path: Path, block: str) -> None:
    """Replace the block in the file at `path`. Raises ValueError if its marks are missing, OSError if it cannot."""
    path.write_text(replace_block(path.read_text(), block))

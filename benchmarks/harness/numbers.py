# SPDX-License-Identifier: Apache-2.0
"""Numbers as text: three significant digits are what a median of five rounds is worth."""

from __future__ import annotations


def number(value: float) -> str:
    """`value` with three significant digits, thousands grouped: 0.0123, 4.56, 12,300."""
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        digits = len(str(int(abs(value)))) - 3
        return f"{round(value, -digits):,.0f}"
    text = f"{value:.3g}"
    return f"{float(text):.0f}" if "e+" in text else text


def times(ratio: float) -> str:
    """A ratio: 123x, 4.5x, 0.83x."""
    return f"{number(round(ratio))}x" if ratio >= 10 else f"{ratio:.2g}x"

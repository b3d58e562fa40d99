# SPDX-License-Identifier: Apache-2.0
"""The results as a picture: for each row, how many times better Shoal is than each peer, and its share of the limit."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from systems.registry import LIMIT, PEERS, SHOAL

from .limit_rows import LIMIT_OF
from .machine import sentence
from .numbers import times
from .results import Results

AHEAD, BEHIND, LIMIT_COLOUR = "#2a7f8e", "#c8553d", "#8a8a8a"
ROW_HEIGHT_INCH = 0.26
PANEL_WIDTH_INCH = 2.5


def draw(results: Results, path: Path) -> None:
    """Write the picture to `path`, a PNG. Rows that no panel has a ratio for are left out."""
    panels = [(peer.title, _over_peer(results, peer.key)) for peer in PEERS]
    panels = [(f"Shoal / {title}", ratios) for title, ratios in panels if ratios]
    to_limit = _over_limit(results)
    if to_limit:
        panels.append(("Shoal / limit", to_limit))
    rows = [row for row in results.units if any(row in ratios for _, ratios in panels)]
    if not rows:
        return
    figure, axes = plt.subplots(
        1,
        len(panels),
        figsize=(3.2 + PANEL_WIDTH_INCH * len(panels), 1.6 + ROW_HEIGHT_INCH * len(rows)),
        sharey=True,
        squeeze=False,
    )
    for panel, (title, ratios) in zip(axes[0], panels, strict=True):
        _bars(panel, rows, ratios, is_limit=title.endswith(LIMIT))
        panel.set_title(title, fontsize=10)
    axes[0][0].set_yticks(range(len(rows)), rows, fontsize=8)
    axes[0][0].set_ylim(len(rows) - 0.4, -0.6)
    figure.suptitle("How many times better (log scale; the line is 1)", fontsize=11)
    figure.text(
        0.5, 0.004, f"{sentence(results.machine)}; medians of {results.n_rounds} rounds", ha="center", fontsize=7
    )
    figure.tight_layout(rect=(0, 0.015, 1, 0.995))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _bars(panel: Axes, rows: list[str], ratios: dict[str, float], *, is_limit: bool) -> None:
    panel.set_xscale("log")
    for y, row in enumerate(rows):
        if row not in ratios:
            continue
        ratio = ratios[row]
        colour = LIMIT_COLOUR if is_limit else AHEAD if ratio >= 1 else BEHIND
        # Bars grow from 1, to the right where Shoal is ahead: on a log scale zero has no place.
        panel.barh(y, ratio - 1, left=1, color=colour, height=0.7)
        panel.annotate(
            times(ratio),
            (ratio, y),
            xytext=(3 if ratio >= 1 else -3, 0),
            textcoords="offset points",
            ha="left" if ratio >= 1 else "right",
            va="center",
            fontsize=7,
        )
    panel.axvline(1, color="black", linewidth=0.8)
    low, high = min(1.0, *ratios.values()), max(1.0, *ratios.values())
    margin = (high / low) ** 0.35 if high > low else 2
    panel.set_xlim(low / margin if low < 1 else low / margin**0.1, high * margin if high > 1 else high * margin**0.1)
    panel.tick_params(labelsize=7)
    panel.grid(axis="x", alpha=0.3)
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)


def _over_peer(results: Results, peer: str) -> dict[str, float]:
    found = {row: results.advantage(row, SHOAL, peer) for row in results.units}
    return {row: ratio for row, ratio in found.items() if ratio}


def _over_limit(results: Results) -> dict[str, float]:
    ratios: dict[str, float] = {}
    for row, limit_row in LIMIT_OF.items():
        mine, limit = results.median(row, SHOAL), results.median(limit_row, LIMIT)
        if mine and limit:
            ratios[row] = mine / limit
    return ratios

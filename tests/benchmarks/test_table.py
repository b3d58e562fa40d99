# SPDX-License-Identifier: Apache-2.0
"""The Markdown that the README and the report show, and the picture beside it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from harness import machine
from harness.numbers import number, times
from harness.readme import BEGIN, END, replace_block, rewrite
from harness.results import Results
from harness.table import block, main_table, report

SYNC = "single client tasks sync"


@pytest.fixture
def results() -> Results:
    made = Results(machine=machine.describe(), n_rounds=5, budget_s=0.4, versions={"shoal": "0.1", "ray": "2.60"})
    made.add("shoal", SYNC, {"value": 40_000.0, "unit": "tasks/s"})
    made.add("ray", SYNC, {"value": 400.0, "unit": "tasks/s", "n": 12, "note": "cold"})
    made.add("pool", SYNC, {"value": 8000.0, "unit": "tasks/s"})
    made.add("dask", SYNC, {"failure": "failed: TimeoutError: slow | very"})
    made.add("limit", "bare ring, spinning, synchronous", {"value": 250_000.0, "unit": "calls/s"})
    made.add("shoal", "placement group create/removal", {"unit": "groups/s", "failure": "skipped: not yet"})
    return made


def cells(table: str, row: str) -> list[str]:
    (line,) = [line for line in table.splitlines() if line.startswith(f"| {row} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_row_shows_every_system_the_limit_and_the_ratios(results: Results) -> None:
    shown = cells(main_table(results), SYNC)
    assert shown == [SYNC, "tasks/s", "**40,000**", "250,000", "400", "", "8,000", "", "failed", "100x", "5x"]


def test_a_limit_is_a_column_and_not_a_row(results: Results) -> None:
    assert "| bare ring" not in main_table(results)


def test_a_skipped_row_is_not_a_failed_one(results: Results) -> None:
    assert cells(main_table(results), "placement group create/removal")[2] == "**-**"


def test_the_block_says_where_when_and_which_versions(results: Results) -> None:
    text = block(results)
    assert results.machine["date"] in text
    assert "Ray 2.60" in text
    assert "5 interleaved" in text


def test_the_report_has_the_bars_the_range_and_the_notes(results: Results) -> None:
    text = report(results)
    assert "## Bars" in text
    assert "40,000 .. 40,000" in text
    assert "Ray: batch fitted to 12; cold" in text
    assert "Dask distributed: failed: TimeoutError: slow" in text


@pytest.fixture
def draw() -> Callable[[Results, Path], None]:
    pytest.importorskip("matplotlib")
    from harness import picture

    return picture.draw


def test_the_picture_is_drawn(draw: Callable[[Results, Path], None], results: Results, tmp_path: Path) -> None:
    draw(results, tmp_path / "latest.png")
    assert (tmp_path / "latest.png").read_bytes().startswith(b"\x89PNG")


def test_a_picture_without_ratios_is_not_drawn(draw: Callable[[Results, Path], None], tmp_path: Path) -> None:
    draw(Results(machine=machine.describe(), n_rounds=1, budget_s=1.0), tmp_path / "latest.png")
    assert not (tmp_path / "latest.png").exists()


def test_only_the_text_between_the_marks_is_replaced() -> None:
    before = f"# Title\n{BEGIN}\nold\n{END}\nrest\n"
    after = replace_block(before, "new")
    assert after == f"# Title\n{BEGIN}\nnew\n{END}\nrest\n"
    assert replace_block(after, "new") == after


@pytest.mark.parametrize("text", ["no marks", BEGIN, f"{END} {BEGIN}", f"{BEGIN}{END}{BEGIN}{END}"])
def test_a_text_without_its_two_marks_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected one"):
        replace_block(text, "new")


def test_rewrite_changes_the_file(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(f"{BEGIN}{END}")
    rewrite(path, "table")
    assert path.read_text() == f"{BEGIN}\ntable\n{END}"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.012345, "0.0123"),
        (4.0, "4"),
        (99.96, "100"),
        (999.6, "1000"),
        (12_345, "12,300"),
        (1e6, "1,000,000"),
    ],
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(("ratio", "text"), [(0.834, "0.83x"), (4.56, "4.6x"), (123.4, "123x"), (1234, "1,230x")])
def test_ratios_have_two_digits_or_whole_ones(ratio: float, text: str) -> None:
    assert times(ratio) == text

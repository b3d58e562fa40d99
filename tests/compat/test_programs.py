# SPDX-License-Identifier: Apache-2.0
"""docs/compatibility.md shows what `make compat` runs."""

import re
from pathlib import Path

from tests.compat.run_programs import PROGRAMS, PROGRAMS_FOLDER, Program

PAGE = Path(__file__).resolve().parents[2] / "docs" / "compatibility.md"


def row(program: Program) -> str:
    """The row of the page's table."""
    name, _, version = program.library.partition("==")
    outcome = "; ".join(f"`{line}`" for line in program.outcome)
    return f"| {name} {version} | {program.shows} | `shoal as-ray {program.file}` | {outcome} |"


def test_the_table_of_the_page_is_that_of_the_programs() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if "| `shoal as-ray " in line]
    assert rows == [row(program) for program in PROGRAMS]


def test_every_program_is_one_of_ray() -> None:
    used = {program.file for program in PROGRAMS}
    assert {path.name for path in PROGRAMS_FOLDER.glob("*.py")} == used
    for name in used:
        text = (PROGRAMS_FOLDER / name).read_text()
        assert "shoal" not in text
        assert re.search(r"^(import|from) (ray|ray_map|ray_ease|rayorch)\b", text, re.MULTILINE)
    assert all("==" in each for program in PROGRAMS for each in (program.library, *program.with_it))

# SPDX-License-Identifier: Apache-2.0
"""Every Python block of README.md and docs/ is a program that runs, and prints what the text block after it shows."""

import os
import re
import subprocess
import sys
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TIMEOUT_S = 60.0


class Block(NamedTuple):
    """A program, and its output if the page shows one."""

    page: str
    line: int
    source: str
    output: str | None


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text()
    fences = list(FENCE.finditer(text))
    blocks = []
    for fence, after in zip_longest(fences, fences[1:]):
        if fence[1] != "python":
            continue
        is_shown = after is not None and after[1] == "text" and not text[fence.end() : after.start()].strip()
        line = text.count("\n", 0, fence.start()) + 2
        blocks.append(Block(page.name, line, fence[2], after[2] if after is not None and is_shown else None))
    return blocks


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: f"{block.page}:{block.line}")
def test_a_block_runs_and_prints_what_the_page_shows(block: Block, tmp_path: Path) -> None:
    program = tmp_path / "block.py"
    program.write_text(block.source)
    env = {**os.environ, "SHOAL_CACHE_DIR": str(tmp_path / "cache")}
    run = subprocess.run(
        [sys.executable, program], cwd=tmp_path, capture_output=True, text=True, timeout=TIMEOUT_S, check=False, env=env
    )
    assert run.returncode == 0, run.stderr
    if block.output is not None:
        assert run.stdout == block.output


def test_the_readme_has_a_first_program() -> None:
    assert any(block.page == "README.md" for block in BLOCKS)

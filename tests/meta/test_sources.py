# SPDX-License-Identifier: Apache-2.0
"""House rules that a reader would otherwise have to check by eye, over every hand-written source."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("src", "tests", "benchmarks", "examples", "scripts", ".ci")
SUFFIXES = {".py", ".pyi", ".pyx", ".pxd", ".pxi", ".c", ".h"}

MAX_LINES = 500
# path: why it is one idea although it is long. Past the limit a file usually hides two.
LONG_FILES: dict[str, str] = {
    "src/core/bind/_node.pyi": "the contract of one extension module, which a stub cannot split",
}


def is_source(path: Path) -> bool:
    script = path.name == "Makefile" or path.parent.name in ("scripts", ".ci")
    return path.is_file() and (path.suffix in SUFFIXES or script)


def sources(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*")) if is_source(path)]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_every_source_names_its_license() -> None:
    silent = [
        name_of(path)
        for path in [ROOT / "setup.py", ROOT / "Makefile", *sources(*FOLDERS)]
        if path.stat().st_size and "SPDX-License-Identifier: Apache-2.0" not in "".join(path.open().readlines()[:3])
    ]
    assert not silent


def test_no_source_is_longer_than_one_idea() -> None:
    lengths = {name_of(path): len(path.read_text().splitlines()) for path in sources(*FOLDERS)}
    assert {name for name, length in lengths.items() if length > MAX_LINES} == set(LONG_FILES)


def test_every_header_says_what_it_is() -> None:
    """The first comment of a header holds at least a sentence besides the licence."""
    silent = []
    for path in (path for path in sources("src", "tests") if path.suffix == ".h"):
        head = re.split(r"^\s*#", path.read_text(), maxsplit=1, flags=re.MULTILINE)[0]
        words = re.findall(r"[A-Za-z]{2,}", head.replace("SPDX-License-Identifier: Apache-2.0", ""))
        if len(words) < 5:
            silent.append(name_of(path))
    assert not silent


def sleeps(path: Path) -> list[str]:
    """Where a test waits for time to pass: it would be slow on a fast machine and wrong on a slow one."""
    if path.suffix == ".py":
        calls = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
        lines = [call.lineno for call in calls if ast.unparse(call.func) in ("time.sleep", "sleep")]
    else:
        code = path.read_text().splitlines()
        lines = [number for number, text in enumerate(code, 1) if re.search(r"\b(u|nano)?sleep\s*\(", text)]
    return [f"{name_of(path)}:{line}" for line in lines]


def test_no_test_sleeps() -> None:
    found = [place for path in sources("tests") if path.suffix in {".py", ".c", ".h"} for place in sleeps(path)]
    assert not found

# SPDX-License-Identifier: Apache-2.0
"""What the pages name exists: files, functions beside them, links, and the tables of src/core/README.md."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "src" / "core"
CORE_PAGE = CORE / "README.md"
PAGES = sorted(
    [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")]
    + [*(ROOT / "docs").rglob("*.md"), CORE_PAGE]
)
FOLDERS = (ROOT, CORE, CORE / "node", CORE / "bind", ROOT / "src" / "pyfront", ROOT / "tests" / "core")
CODE = re.compile(r"`([^`\n]+)`")
FILE = re.compile(r"[\w./-]+\.(?:c|h|py|pyx|pxi|pxd|pyi|md)")
C_NAME = re.compile(r"\bsh_\w+|\bSH_\w+")
LINK = re.compile(r"\]\(([^)#:]+)\)")
LETTER = re.compile(r"(?:/\*| \* ).*?\(([A-Z])\)")


def page_id(page: Path) -> str:
    return str(page.relative_to(ROOT))


def found(name: str, near: Path) -> list[Path]:
    """The files that a page may mean by `name`: from the root, from the core, or beside the file named before it."""
    return [path for folder in (near.parent, *FOLDERS) if (path := folder / name).is_file()]


def named_files(line: str) -> list[Path]:
    files: list[Path] = []
    for name in CODE.findall(line):
        if FILE.fullmatch(name):
            files += found(name, files[-1] if files else ROOT / "x")[:1]
    return files


def core_text() -> str:
    return "\n".join(path.read_text() for path in CORE.rglob("*") if path.suffix in (".c", ".h"))


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_a_page_names_files_that_exist(page: Path) -> None:
    missing, last = [], ROOT / "x"
    for name in CODE.findall(page.read_text()):
        if FILE.fullmatch(name):
            files = found(name, last)
            last = files[0] if files else last
            missing += [] if files else [name]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_functions_are_in_the_files_named_beside_them(page: Path) -> None:
    missing: list[str] = []
    for line in page.read_text().splitlines():
        text = "\n".join(file.read_text() for file in named_files(line))
        functions = [name[:-2] for name in CODE.findall(line) if name.endswith("()") and text]
        missing += [name for name in functions if not re.search(rf"\b{re.escape(name)}\b", text)]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_names_of_the_core_exist(page: Path) -> None:
    text = core_text()
    names = {name for code in CODE.findall(page.read_text()) for name in C_NAME.findall(code)}
    assert {name for name in names if not re.search(rf"\b{name}\b", text)} == set()


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_lead_somewhere(page: Path) -> None:
    assert [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()] == []


def test_every_lettered_ordering_is_in_the_table_of_the_core() -> None:
    in_code = {letter for line in core_text().splitlines() for letter in LETTER.findall(line)}
    in_table = set(re.findall(r"^\| \(([A-Z])\) \|", CORE_PAGE.read_text(), re.MULTILINE))
    assert in_table == in_code


FILES_OF_SCENARIOS = ("scenarios.c", "rare.c", "streams.c", "repeats.c", "logged.c")


def test_the_crash_scenarios_named_in_the_table_of_the_core_exist() -> None:
    text = "".join((ROOT / "tests" / "core" / name).read_text() for name in FILES_OF_SCENARIOS)
    scenarios = set(re.findall(r'^    \{"([^"]+)", STAGE_', text, re.MULTILINE))
    table = CORE_PAGE.read_text().partition("## Which test dies where")[2]
    named = set(re.findall(r'"([^"\n]+)"', table))
    assert named
    assert named <= scenarios

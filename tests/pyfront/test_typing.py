# SPDX-License-Identifier: Apache-2.0
"""What type checkers see of a user's program: `typed/functions.py` and `typed/actors.py`, checked by mypy and pyright.

The programs assert types by `assert_type`; a line that ends in `# wrong` must be refused, and no other line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ROOT / "tests" / "pyfront" / "typed"
ENOUGH_S = 300

pytestmark = pytest.mark.timeout(ENOUGH_S)  # a checker reads all of numpy


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which checkers find the package by name, as they do when it is installed."""
    top = tmp_path_factory.mktemp("tree")
    core = top / "shoal" / "_core"
    core.mkdir(parents=True)
    for path in (ROOT / "src" / "pyfront").iterdir():
        (core.parent / path.name).symlink_to(path)
    for path in [*(ROOT / "src" / "core").glob("*.py"), *(ROOT / "src" / "core" / "bind").glob("*.pyi")]:
        (core / path.name).symlink_to(path)
    return top


def wrong_lines(names: list[str]) -> set[tuple[str, int]]:
    return {
        (name, number)
        for name in names
        for number, line in enumerate((PROGRAMS / name).read_text().splitlines(), 1)
        if line.endswith("# wrong")
    }


def run(command: list[str], tree: Path) -> str:
    environment = {**os.environ, "MYPYPATH": str(tree)}
    done = subprocess.run(
        command, cwd=PROGRAMS, env=environment, capture_output=True, text=True, timeout=ENOUGH_S, check=False
    )
    assert "INTERNAL ERROR" not in done.stdout
    return done.stdout


def mypy(tree: Path, names: list[str], *, with_plugin: bool) -> tuple[set[tuple[str, int]], str]:
    settings = tree / f"mypy{int(with_plugin)}.ini"
    plugins = "plugins = shoal.mypy_plugin\n" if with_plugin else ""
    settings.write_text(
        f"[mypy]\nstrict = True\n{plugins}[mypy-cloudpickle.*,psutil.*]\nignore_missing_imports = True\n"
    )
    cache = tree / f"cache{int(with_plugin)}"
    output = run(
        [sys.executable, "-m", "mypy", "--config-file", str(settings), "--cache-dir", str(cache), *names], tree
    )
    places = [line.split(":", 2) for line in output.splitlines() if ": error: " in line]
    return {(name, int(number)) for name, number, _ in places}, output


def test_mypy_with_the_plugin_follows_functions_and_actors(tree: Path) -> None:
    names = ["functions.py", "actors.py"]
    found, output = mypy(tree, names, with_plugin=True)
    assert found == wrong_lines(names), output


def test_mypy_without_the_plugin_follows_functions(tree: Path) -> None:
    names = ["functions.py"]
    found, output = mypy(tree, names, with_plugin=False)
    assert found == wrong_lines(names), output


def test_pyright_follows_functions(tree: Path) -> None:
    settings = tree / "pyrightconfig.json"
    files = [str(PROGRAMS / "functions.py")]
    settings.write_text(json.dumps({"include": files, "extraPaths": [str(tree)], "typeCheckingMode": "standard"}))
    output = run([sys.executable, "-m", "basedpyright", "-p", str(settings), "--outputjson"], tree)
    reports = [report for report in json.loads(output)["generalDiagnostics"] if report["severity"] == "error"]
    found = {("functions.py", report["range"]["start"]["line"] + 1) for report in reports}
    assert found == wrong_lines(["functions.py"]), [report["message"] for report in reports]


def test_the_package_says_that_it_is_typed() -> None:
    assert (ROOT / "src" / "pyfront" / "py.typed").exists()

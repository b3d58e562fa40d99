# SPDX-License-Identifier: Apache-2.0
"""What a strict type checker sees of a user's program: results keep their types from the call to `get`."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = """
from collections.abc import Generator, Iterator
from typing import Any

import shoal

@shoal.remote
def text(x: int, y: int = 1) -> str:
    return str(x + y)

@shoal.remote(num_cpus=2)
def number(x: int) -> float:
    return 1.0

@shoal.remote(num_returns=2)
def pair(x: int) -> tuple[int, int]:
    return x, x

@shoal.remote
def stream(n: int) -> Iterator[int]:
    yield from range(n)

@shoal.remote
def generator(n: int) -> Generator[str, None, None]:
    yield str(n)

@shoal.remote
def anything(n: int) -> Any:
    return n

class Counter:
    def read(self) -> int:
        return 1

reveal_type(text.remote(1))
reveal_type(shoal.get(text.remote(text.remote(1))))
reveal_type(shoal.get([text.remote(1)]))
reveal_type(shoal.get(number.remote(1), timeout=1))
reveal_type(text.options(num_cpus=2).remote(1))
reveal_type(shoal.remote(Counter).remote())
reveal_type(shoal.put([1]))
reveal_type(pair.remote(1))
reveal_type(text.options(num_returns=2).remote(1))
reveal_type(shoal.wait([text.remote(1)])[0])
reveal_type(stream.remote(1))
reveal_type(generator.options(max_items_ahead=2).remote(1))
reveal_type([shoal.get(ref) for ref in stream.remote(1)])
reveal_type(shoal.wait([stream.remote(1)])[0])
reveal_type(anything.remote(1))
reveal_type(stream.options(num_returns="dynamic").remote(1))
reveal_type(text.options(num_returns="streaming").remote(1))
reveal_type(shoal.remote(num_returns="dynamic")(anything.__wrapped__).remote(1))
"""

REVEALED = [
    "ObjectRef[str]",
    "str",
    "list[str]",
    "float",
    "ObjectRef[str]",
    "ActorHandle[program.Counter]",
    "ObjectRef[list[int]]",
    "list[ObjectRef[Any]]",
    "list[ObjectRef[Any]]",
    "list[ObjectRef[str]]",
    "ObjectRefGenerator[int]",
    "ObjectRefGenerator[str]",
    "list[int]",
    "list[ObjectRefGenerator[int]]",
    "ObjectRef[Any]",
    "ObjectRef[DynamicObjectRefGenerator[Any]]",
    "ObjectRefGenerator[Any]",
    "ObjectRef[DynamicObjectRefGenerator[Any]]",
]


@pytest.mark.slow
def test_mypy_follows_types_through_calls(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    core = tmp_path / "tree" / "shoal" / "_core"
    core.mkdir(parents=True)
    for path in (ROOT / "src" / "pyfront").iterdir():
        (core.parent / path.name).symlink_to(path)
    for path in [*(ROOT / "src" / "core").glob("*.py"), *(ROOT / "src" / "core").rglob("*.pyi")]:
        (core / path.name).symlink_to(path)
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), "program.py"]
    environment = {"MYPYPATH": str(core.parents[1]), "PATH": "/usr/bin"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("program.py")]
    notes = [line.partition("Revealed type is ")[2].strip('"') for line in lines]
    assert [
        note.replace("shoal._core._node.", "").replace("shoal.actor.", "").replace("shoal.task.dynamic.", "")
        for note in notes
    ] == REVEALED, lines

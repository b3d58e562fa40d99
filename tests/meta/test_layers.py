# SPDX-License-Identifier: Apache-2.0
"""Dependencies point down: the layers of docs/architecture.md, held by reading the imports and includes of sources.

Imports under TYPE_CHECKING and inside functions count: they tie two modules together just as well.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FRONT = ROOT / "src" / "pyfront"
CORE = ROOT / "src" / "core"


@dataclass(frozen=True)
class Layer:
    """Modules and packages at one height. In a `joint` layer they are parts of one thing and may import one another."""

    names: frozenset[str]
    joint: bool = False


def layer(names: str, *, joint: bool = False) -> Layer:
    return Layer(frozenset(names.split()), joint)


FRONT_LAYERS = [
    layer("errors ids config", joint=True),
    layer("serialization protocol"),
    layer("runtime_env"),
    layer("task"),
    layer("scheduler"),
    layer("gcs"),
    # What drivers and workers have in common: a process that is attached to a node.
    layer(
        "actor_exit asyncio_bridge circles death earlier_calls group_calls hang_watch hooks link memory node_calls "
        "origins runtime stacks stuck tracing",
        joint=True,
    ),
    layer("worker"),
    layer("node"),  # starts workers
    layer("api", joint=True),  # and every module that is not named in another layer
    layer("__init__"),
    layer("__main__ cli compat dashboard microbenchmark testing", joint=True),
]
API = next(height for height, level in enumerate(FRONT_LAYERS) if "api" in level.names)

# Decisions are pure: the same event gives the same answer in a test, a simulation and a daemon. So no I/O and no clock.
PURE = {"ids", "scheduler", "protocol"}
IMPURE_IMPORTS = {"asyncio", "multiprocessing", "os", "random", "select", "socket", "subprocess", "threading", "time"}

CORE_LAYERS = [{"base"}, {"store", "queue", "graph"}, {"node"}, {"bind"}]


def part_of(name: str) -> str:
    """`_node`, `node.daemon` and `node` are all the part `node`; dunder names stay."""
    top = name.split(".")[0]
    return top if top.startswith("__") else top.lstrip("_")


def height_of(part: str) -> int:
    return next((height for height, level in enumerate(FRONT_LAYERS) if part in level.names), API)


def imports_of(path: Path, package: list[str]) -> Iterator[tuple[int, str]]:
    """(line, absolute dotted name) of each import of a file that lies in `package`."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *filter(None, [node.module])])
            # `from shoal import x` may name a module or what __init__ exports; the part is x if there is such a module.
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def front_imports() -> Iterator[tuple[Path, int, str, str]]:
    """(file, line, importing part, imported dotted name) over the whole front end."""
    for path in sorted(FRONT.rglob("*.py")):
        inside = path.relative_to(FRONT)
        mine = part_of(inside.with_suffix("").parts[0])
        for line, name in imports_of(path, ["shoal", *inside.parts[:-1]]):
            yield path.relative_to(ROOT), line, mine, name


def target_part(name: str) -> str:
    """The part of the front end that `shoal.x.y` names: x, or __init__ where x is no module but an exported name."""
    rest = name.split(".")[1:]
    exists = rest and any((FRONT / f"{rest[0]}{end}").exists() for end in ("", ".py"))
    return part_of(rest[0]) if exists else "__init__"


def test_front_end_imports_point_down() -> None:
    wrong = []
    for path, line, mine, name in front_imports():
        if name.split(".")[0] != "shoal" or name.startswith("shoal._core"):
            continue
        theirs = target_part(name)
        above, below = height_of(mine), height_of(theirs)
        if mine != theirs and (below > above or (below == above and not FRONT_LAYERS[above].joint)):
            wrong.append(f"{path}:{line}: {mine} must not import {theirs}")
    assert not wrong, "\n".join(wrong)


def test_pure_parts_do_no_io() -> None:
    wrong = [
        f"{path}:{line}: {mine} is pure; {name} does I/O or reads a clock"
        for path, line, mine, name in front_imports()
        if mine in PURE and name.split(".")[0] in IMPURE_IMPORTS
    ]
    assert not wrong, "\n".join(wrong)


def test_core_never_imports_the_front_end() -> None:
    wrong = []
    for path in sorted([*CORE.rglob("*.py"), *CORE.rglob("*.py[xi]"), *CORE.rglob("*.px[di]")]):
        for number, text in enumerate(path.read_text().splitlines(), 1):
            found = re.match(r"\s*(?:from|c?import)\s+(shoal\b[\w.]*)", text)
            if found and not found[1].startswith("shoal._core"):
                wrong.append(f"{path.relative_to(ROOT)}:{number}: the core must not import {found[1]}")
    assert not wrong, "\n".join(wrong)


def includes_of(path: Path) -> Iterator[tuple[int, str]]:
    for number, text in enumerate(path.read_text().splitlines(), 1):
        if found := re.match(r"\s*#\s*include\s*[<\"]([^>\"]+)[>\"]", text):
            yield number, found[1]


@pytest.mark.parametrize("folder", [name for level in CORE_LAYERS[:-1] for name in sorted(level)])
def test_core_includes_point_down(folder: str) -> None:
    mine = next(height for height, level in enumerate(CORE_LAYERS) if folder in level)
    allowed = {folder}.union(*CORE_LAYERS[:mine])
    wrong = []
    for path in sorted((CORE / folder).rglob("*.[ch]")):
        for line, name in includes_of(path):
            theirs = name.split("/")[0]
            if name == "Python.h":
                wrong.append(f"{path.relative_to(ROOT)}:{line}: only bind knows Python")
            elif any(theirs in level for level in CORE_LAYERS) and theirs not in allowed:
                wrong.append(f"{path.relative_to(ROOT)}:{line}: {folder} must not include {name}")
    assert not wrong, "\n".join(wrong)


def test_every_core_folder_has_a_layer() -> None:
    folders = {path.parent.relative_to(CORE).parts[0] for path in CORE.rglob("*.[ch]") if path.parent != CORE}
    assert folders <= set().union(*CORE_LAYERS)

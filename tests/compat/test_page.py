# SPDX-License-Identifier: Apache-2.0
"""docs/coming-from-ray.md is true and complete: every row of its tables is compared with what is there, and Ray's names
with the rows.

Both files were read from Ray 2.60. `ray_signatures.json`: the parameters of its functions and methods, without those
that begin with an underscore, a star before those that are given by name only; and the bases of its exceptions.
`ray_names.json`: what its modules and classes have without an underscore; the options of tasks, actors and methods; the
commands. What rows promise beyond that is tested where the thing is: `test_every_row_is_used_by_another_test`."""

import builtins
import inspect
import json
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from shoal import config
from shoal.cli import main
from shoal.compat.connection import IN_VAIN, init
from shoal.compat.modules import ROOT, lookup
from shoal.compat.names import ABSENT, MODULES, WHOLE_MODULES
from shoal.errors import UnsupportedOptionError
from shoal.task.actor_shape import MethodShape
from shoal.task.options import ActorOptions, TaskOptions, merge_actor, merge_method, merge_task

PAGE = Path(__file__).resolve().parents[2] / "docs" / "coming-from-ray.md"
RECORDED = json.loads(Path(__file__).with_name("ray_signatures.json").read_text())
OF_RAY = json.loads(Path(__file__).with_name("ray_names.json").read_text())
VERDICTS = ("same", "different", "absent")
NEW_OF_INIT = {"address", "job_config", "local_mode", "_memory", "_metrics_export_port"}
NEW_OF_INIT |= {"_object_spilling_directory", *IN_VAIN}


class Row(NamedTuple):
    name: str
    verdict: str
    how: str


def rows(heading: str) -> list[Row]:
    """The rows of all tables whose first column has this heading: one for each name."""
    found, is_in = [], False
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.removeprefix("|").removesuffix("|").split(" | ")]
        if not line.startswith("|"):
            is_in = False
        elif len(cells) == 3 and cells[1] == "here":
            is_in = cells[0] == heading
        elif is_in and len(cells) == 3 and cells[1] in VERDICTS:
            found += [Row(name, cells[1], cells[2]) for name in names_of(cells[0])]
    return found


def names_of(cell: str) -> Iterator[str]:
    """The names in a cell; one without dots after `with` belongs to the class before it."""
    owner = ""
    for name in re.findall(r"`([^`]+)`", cell):
        is_member = " with " in cell and "." not in name
        owner = owner if is_member else name
        yield f"{owner}.{name}" if is_member else name


NAMES = [row for row in rows("Ray") if row.name.startswith("ray.")]
OPTIONS, ARGUMENTS, COMMANDS, VARIABLES = rows("option"), rows("argument"), rows("command"), rows("variable")


def find(name: str) -> Any:
    """What a name of Ray is here: of a class's member too."""
    parts = name.split(".")[1:]
    for length in range(len(parts), 0, -1):
        module, leaf = ".".join(parts[: length - 1]), parts[length - 1]
        if leaf in MODULES.get(module, {}):
            value = lookup(".".join(parts[:length]))
            for member in parts[length:]:
                value = getattr(value, member)
            return value
    return import_module(f"{ROOT}.{'.'.join(parts)}")


def parameters(target: Any, is_method: bool) -> tuple[list[str], set[str], bool, bool]:
    """Positional parameters, those that may be given by name, and whether it takes any number of either."""
    found = list(inspect.signature(target).parameters.values())[1 if is_method else 0 :]
    positional = [p.name for p in found if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    named = {p.name for p in found if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)}
    kinds = {p.kind for p in found}
    return positional, named, inspect.Parameter.VAR_POSITIONAL in kinds, inspect.Parameter.VAR_KEYWORD in kinds


@pytest.mark.parametrize("row", [row for row in NAMES if row.verdict != "absent"], ids=lambda row: row.name)
def test_what_is_there_takes_what_it_takes_in_ray(row: Row) -> None:
    value = find(row.name)
    wanted = RECORDED["signatures"].get(row.name)
    if wanted is None or row.verdict != "same" or not callable(value):
        return
    try:
        is_method = inspect.isfunction(value) and "." in value.__qualname__ and "<locals>" not in value.__qualname__
        positional, named, any_number, any_name = parameters(value, is_method)
    except ValueError:  # compiled
        return
    for place, name in enumerate(wanted):
        if name.startswith("*"):
            assert name[1:] in named or any_name, f"{row.name} has no parameter {name[1:]}"
        else:
            assert any_number or positional[place : place + 1] == [name], f"{row.name}: {positional}, in Ray {wanted}"


@pytest.mark.parametrize("row", [row for row in NAMES if row.verdict == "absent"], ids=lambda row: row.name)
def test_what_is_absent_is_refused_by_name(row: Row) -> None:
    assert row.how
    parts = row.name.split(".")[1:]
    if any(".".join(parts[:length]) in ABSENT for length in range(1, len(parts) + 1)):
        with pytest.raises(ModuleNotFoundError, match=f"^{re.escape(row.name)} is not in Shoal: ."):
            lookup(".".join(parts))
        with pytest.raises(ModuleNotFoundError, match=r"is not in Shoal: ."):
            import_module(f"{ROOT}.{'.'.join(parts)}")
    else:
        owner = find(row.name.rpartition(".")[0])
        assert not hasattr(owner, parts[-1])


def test_every_name_of_the_table_is_on_the_page() -> None:
    on_page = {row.name for row in NAMES}
    there = {f"ray.{module}.{name}".replace("..", ".") for module, names in MODULES.items() for name in names}
    there |= {f"ray.{module}" for module in WHOLE_MODULES}
    again = ("ray.util.state.api.", "ray.util.collective.collective.")
    assert not {name for name in there - on_page if not name.startswith(again)}
    assert not {f"ray.{name}" for name in ABSENT} - on_page - {"ray.Client", "ray._private", "ray.ray_constants"}


@pytest.mark.parametrize("name", sorted(RECORDED["bases"]))
def test_an_exception_is_caught_by_what_catches_it_in_ray(name: str) -> None:
    error = find(name)
    for base in RECORDED["bases"][name]:
        ours = getattr(builtins, base, None) or find(f"ray.exceptions.{base}")
        assert issubclass(error, ours), f"{name} is no {base}"


@pytest.mark.parametrize("row", OPTIONS, ids=lambda row: row.name)
def test_an_option_is_taken_or_refused(row: Row) -> None:
    known = {*TaskOptions._fields, *ActorOptions._fields, *MethodShape._fields, "_generator_backpressure_num_objects"}
    if row.verdict == "absent":
        for merge, base in ((merge_task, TaskOptions()), (merge_actor, ActorOptions()), (merge_method, MethodShape())):
            with pytest.raises((UnsupportedOptionError, TypeError), match=row.name):
                merge(base, {row.name: "something"})  # type: ignore[operator] # each with its own base
    elif row.name not in known:
        merge_task(TaskOptions(), {row.name: None})


@pytest.mark.parametrize("row", ARGUMENTS, ids=lambda row: row.name)
def test_an_argument_of_init_is_known(row: Row) -> None:
    own = {name for name, p in inspect.signature(init).parameters.items() if p.kind is not p.VAR_KEYWORD}
    assert row.name in own | NEW_OF_INIT
    if row.verdict == "different":
        assert row.name in NEW_OF_INIT


def test_every_argument_of_init_is_on_the_page() -> None:
    wanted = {name.lstrip("*") for name in RECORDED["signatures"]["ray.init"]} | NEW_OF_INIT
    assert wanted == {row.name for row in ARGUMENTS}


@pytest.mark.parametrize("row", COMMANDS, ids=lambda row: row.name)
def test_a_command_is_there_or_not(row: Row) -> None:
    ours = {command.name or command.callback.__name__ for command in main.registered_commands if command.callback}
    assert (row.name.removeprefix("ray ") in ours) == (row.verdict != "absent")


def test_every_public_name_of_ray_is_on_the_page() -> None:
    on_page = {row.name for row in NAMES}
    absent = {row.name for row in NAMES if row.verdict == "absent"}

    def is_told(name: str) -> bool:
        parts = name.split(".")
        is_below_absent = any(".".join(parts[:length]) in absent for length in range(2, len(parts)))
        return name in on_page or is_below_absent or any(row.startswith(f"{name}.") for row in on_page)

    assert [name for name in OF_RAY["names"] if not is_told(name)] == []
    assert {*OF_RAY["options"]} - {row.name for row in OPTIONS} == set()
    assert {f"ray {command}" for command in OF_RAY["commands"]} - {row.name for row in COMMANDS} == set()


def test_a_variable_is_read_or_not() -> None:
    text = inspect.getdoc(config) or ""
    for row in VARIABLES:
        assert (f"`{row.name}`" in text) == (row.verdict == "same"), row.name
        assert row.how


def test_every_row_is_used_by_another_test() -> None:
    """By its own name, or by the one that the row says Shoal has for it. What never happens is only to be caught."""
    folder = Path(__file__).resolve().parents[1]
    others = [path for path in folder.rglob("*.py") if path != Path(__file__)]
    words = {word for path in others for word in re.findall(r"\w+", path.read_text())}
    silent = []
    for row in NAMES:
        leaf = row.name.rpartition(".")[2]
        ours = re.findall(r"`shoal\.(?:\w+\.)*(\w+)`", row.how)
        if row.verdict != "absent" and "can be named, never" not in row.how and not words & {leaf, *ours}:
            silent.append(row.name)
    assert silent == []
    words |= {*IN_VAIN}  # test_rows.py walks them
    assert [row.name for row in (*OPTIONS, *ARGUMENTS) if row.verdict != "absent" and row.name not in words] == []

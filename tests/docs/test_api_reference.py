# SPDX-License-Identifier: Apache-2.0
"""`make docs`: the API reference has every public name, and each says what it is and what its parameters are."""

import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

import shoal
from shoal.task.actor_shape import MethodShape
from shoal.task.options import ActorOptions, TaskOptions

DOCS = Path(__file__).resolve().parents[2] / "docs"
MODULES = (DOCS / "public_modules.txt").read_text().split()
INCLUDED = ["shoal.store", "shoal.util", "shoal.util.placement_group"]  # by those that have them


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages, made as `make docs` makes them."""
    folder = tmp_path_factory.mktemp("api")
    command = [sys.executable, "-W", "error::UserWarning", "-m", "pdoc", "--output-directory", str(folder), *MODULES]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Warn" not in done.stderr
    return folder


def own_names(module_name: str) -> Iterator[str]:
    """The public names of a module: what it lists, or else what it defines; not those that have a page of their own.

    `shoal.util.placement_group` is a function and a module, and which of the two the package has depends on what was
    imported first: its page is the module's.
    """
    module = importlib.import_module(module_name)
    listed = getattr(module, "__all__", None)
    for name in listed if listed is not None else vars(module):
        value = getattr(module, name)
        is_defined = getattr(value, "__module__", None) == module_name and not isinstance(value, TypeVar)
        is_own = (listed is not None or is_defined) and not name.startswith("_")
        if is_own and not inspect.ismodule(value) and f"{module_name}.{name}" not in (*MODULES, *INCLUDED):
            yield name


@pytest.mark.parametrize("module_name", [*MODULES, *INCLUDED])
def test_every_public_name_is_in_the_reference(reference: Path, module_name: str) -> None:
    page = (reference / f"{module_name.replace('.', '/')}.html").read_text()
    names = list(own_names(module_name))
    assert names
    assert [name for name in names if f'id="{name}"' not in page] == []


@pytest.mark.parametrize("module_name", [*MODULES, *INCLUDED])
def test_every_public_name_and_method_says_what_it_is(module_name: str) -> None:
    module = importlib.import_module(module_name)
    assert module.__doc__
    silent = []
    for name in own_names(module_name):
        value = getattr(module, name)
        if (inspect.isroutine(value) or inspect.isclass(value)) and not inspect.getdoc(value):
            silent.append(name)
        members = vars(value).items() if inspect.isclass(value) else ()
        silent += [
            f"{name}.{member}"
            for member, method in members
            if not member.startswith("_")
            and (inspect.isroutine(method) or isinstance(method, property))
            and not inspect.getdoc(getattr(value, member))
        ]
    assert silent == []


def parameters(function: Callable[..., object]) -> Iterator[str]:
    """Those that a caller gives: not the object itself, nor `*args` and `**kwargs` that are passed on."""
    for name, parameter in inspect.signature(function).parameters.items():
        is_open = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if name not in ("self", "cls") and not name.startswith("_") and not (is_open and name in ("args", "kwargs")):
            yield name


def is_named(parameter: str, doc: str) -> bool:
    return re.search(rf"`[^`]*\b{parameter}\b[^`]*`", doc) is not None


def callables(module_name: str) -> Iterator[tuple[str, Callable[..., object], str]]:
    """(name, function, what is said of it): functions, methods, and constructors of what users construct."""
    module = importlib.import_module(module_name)
    for name in own_names(module_name):
        value = getattr(module, name)
        doc = inspect.getdoc(value) or ""
        if inspect.isfunction(value):
            yield name, value, doc
        for member, method in vars(value).items() if inspect.isclass(value) else ():
            function = getattr(method, "__func__", method)  # of static methods and class methods
            if inspect.isfunction(function):
                if member == "__init__" and "Made by `" not in doc:
                    yield name, function, f"{doc} {inspect.getdoc(function)}"
                elif not member.startswith("_"):
                    yield f"{name}.{member}", function, inspect.getdoc(getattr(value, member)) or ""


@pytest.mark.parametrize("module_name", [*MODULES, *INCLUDED])
def test_every_parameter_is_named_in_backticks(module_name: str) -> None:
    silent = [
        f"{name}({parameter})"
        for name, function, doc in callables(module_name)
        for parameter in parameters(function)
        if not is_named(parameter, doc)
    ]
    assert silent == []


def test_every_option_is_explained() -> None:
    options = {shoal.remote: {*TaskOptions._fields, *ActorOptions._fields}, shoal.method: {*MethodShape._fields}}
    for function, names in options.items():
        assert [name for name in sorted(names) if f"- `{name}`: " not in function.__doc__] == []

# SPDX-License-Identifier: Apache-2.0
"""Modules made from the table of names: `shoal.compat.ray` and everything below it.

A name is looked up when it is first used, and is an ordinary attribute from then on, so a call through these modules
costs what it costs in Shoal. Below `shoal.compat.ray` there are no files: a finder makes its modules."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from shoal.compat.names import ABSENT, MODULES, WHOLE_MODULES

ROOT = "shoal.compat.ray"
PAGE = "docs/coming-from-ray.md"


class Mapped(ModuleType):
    """A module whose names are those of one row of the table."""

    def __getattr__(self, name: str) -> Any:
        if name == "__all__":
            return sorted(MODULES[ray_name(self.__name__)])
        if name.startswith("__") and name not in MODULES[ray_name(self.__name__)]:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        value = _value(self, name)
        self.__dict__[name] = value
        return value

    def __setattr__(self, name: str, value: object) -> None:
        # `ray.util.placement_group` is a function and a module: importing the module leaves the function in its place.
        if isinstance(value, ModuleType) and name in MODULES[ray_name(self.__name__)]:
            return
        super().__setattr__(name, value)

    def __repr__(self) -> str:
        # Begins as in Ray: libraries that are handed the module look at it.
        return f"<module {f'ray.{ray_name(self.__name__)}'.rstrip('.')!r}, which is {self.__name__!r}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return import_module, (self.__name__,)

    def __dir__(self) -> list[str]:
        here = ray_name(self.__name__)
        return sorted({*self.__dict__, *MODULES[here], *(child for child in _children(here))})


def make_root(name: str) -> None:
    """Make the module that calls this the root: its attributes and submodules come from the table."""
    module = sys.modules[name]
    module.__class__ = Mapped
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def ray_name(name: str) -> str:
    """What Ray calls one of these modules, without `ray.`: "util.queue"; "" for the root."""
    return name[len(ROOT) + 1 :]


def lookup(dotted: str) -> Any:
    """What a name of Ray means here: "util.queue.Queue". Raises ImportError, saying what to use instead."""
    module, _, name = dotted.rpartition(".")
    target = MODULES.get(module, {}).get(name)
    if target is None:
        raise absent(dotted)
    home, _, own_name = target.partition(":")
    try:
        return getattr(import_module(home), own_name)
    except ModuleNotFoundError as error:
        if not home.startswith(error.name or " "):  # something that it needs: joblib, say
            raise
        raise absent(dotted, f"it will be `{home}.{own_name}`, which this release does not have") from None
    except AttributeError:
        raise absent(dotted, f"it will be `{home}.{own_name}`, which this release does not have") from None


def absent(dotted: str, advice: str | None = None) -> ModuleNotFoundError:
    """The error for a name of Ray that Shoal does not have."""
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        if advice is None:
            advice = ABSENT.get(".".join(parts[:length]))
    advice = advice or f"Shoal covers Ray core; {PAGE} lists what is there"
    return ModuleNotFoundError(f"ray.{dotted} is not in Shoal: {advice}", name=f"ray.{dotted}")


def _value(module: ModuleType, name: str) -> Any:
    dotted = f"{ray_name(module.__name__)}.{name}".lstrip(".")
    if name not in MODULES[ray_name(module.__name__)] and (dotted in MODULES or dotted in WHOLE_MODULES):
        return import_module(f"{ROOT}.{dotted}")
    try:
        return lookup(dotted)
    except ModuleNotFoundError as error:
        if error.name != f"ray.{dotted}":
            raise
        # `from ray.util import name` goes on to the finder, which says it too.
        raise AttributeError(str(error)) from None


def _children(parent: str) -> set[str]:
    prefix = f"{parent}." if parent else ""
    below = (name[len(prefix) :] for name in (*MODULES, *WHOLE_MODULES) if name and name.startswith(prefix))
    return {name.partition(".")[0] for name in below}


class _Finder:
    """Finds `shoal.compat.ray.x`, and says why where there is none."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not name.startswith(f"{ROOT}.") or name.endswith("."):  # `__import__(name, fromlist=[""])` asks for that
            return None
        dotted = ray_name(name)
        if dotted not in MODULES and dotted not in WHOLE_MODULES:
            lookup(dotted)
            raise absent(dotted, "it is no module")
        return ModuleSpec(name, self, is_package=dotted in MODULES)  # type: ignore[arg-type] # a loader by its methods

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        whole = WHOLE_MODULES.get(ray_name(spec.name))
        if whole is None:
            return Mapped(
                spec.name, f"Ray's `{ray_name(spec.name)}`, as far as Shoal has it: see `shoal.compat.names`."
            )
        module = import_module(whole)
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        # A module that is there under another name keeps its own spec.
        if module.__spec__ is not None and module.__spec__.loader_state is not None:
            module.__spec__ = module.__spec__.loader_state

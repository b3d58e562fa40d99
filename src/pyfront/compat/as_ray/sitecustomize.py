# SPDX-License-Identifier: Apache-2.0
"""Run by Python at its start: from now on `ray` is `shoal.compat.ray`. Shoal itself is not imported yet."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))


class RayIsShoal:
    """A finder before all others: `ray.x` is the module `shoal.compat.ray.x`, the same object under both names."""

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """The place of `ray` and what is below it."""
        if (name != "ray" and not name.startswith("ray.")) or not has_shoal():
            return None
        if name != "ray":
            import_module(f"shoal.compat.{name}")  # what is not there is refused here, not where it is executed
        return ModuleSpec(name, self, is_package=True)  # type: ignore[arg-type] # a loader by its methods

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The module of Shoal. Raises ImportError for what is not there."""
        module = import_module(f"shoal.compat.{spec.name}")
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """It has run: give it back the spec that it had."""
        if module.__spec__ is not None:
            module.__spec__ = module.__spec__.loader_state

    def find_distributions(self, context: Any = None) -> Iterator[Any]:
        """The distribution "ray", for `importlib.metadata`, before one that is installed: it lies in this folder."""
        is_meant = getattr(context, "name", None) in (None, "ray") and HERE in getattr(context, "path", sys.path)
        if is_meant and has_shoal():
            yield import_module("shoal.compat.distribution").RayDistribution()


def has_shoal() -> bool:
    """Whether this Python has Shoal: programs inherit PYTHONPATH that run in another one, or in a fresh environment."""
    return "shoal" in sys.modules or find_spec("shoal") is not None


def install() -> None:
    """Let `import ray` mean Shoal in this process. Repeating it has no effect."""
    if not any(type(finder).__name__ == RayIsShoal.__name__ for finder in sys.meta_path):
        sys.meta_path.insert(0, RayIsShoal())


def run_the_next() -> None:
    """Run the `sitecustomize` that this one stands before."""
    found = PathFinder.find_spec("sitecustomize", [entry for entry in sys.path if os.path.abspath(entry) != HERE])
    if found is not None and found.loader is not None:
        found.loader.exec_module(module_from_spec(found))


if __name__ == "sitecustomize":
    install()
    run_the_next()

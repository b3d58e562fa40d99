# SPDX-License-Identifier: Apache-2.0
"""The rows of `shoal microbenchmark`, imported from the source tree without importing Shoal.

A peer's environment has neither Shoal nor its dependencies, and must be measured by the same code.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

NAME = "microbenchmark"
FOLDER = Path(__file__).resolve().parent.parent / "src" / "pyfront" / NAME


def load() -> ModuleType:
    """Make `import microbenchmark` work in this process, and return it."""
    if NAME not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            NAME, FOLDER / "__init__.py", submodule_search_locations=[str(FOLDER)]
        )
        if spec is None or spec.loader is None:
            raise ImportError(f"no package at {FOLDER}")
        module = importlib.util.module_from_spec(spec)
        sys.modules[NAME] = module
        spec.loader.exec_module(module)
    return sys.modules[NAME]

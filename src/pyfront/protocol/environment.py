# SPDX-License-Identifier: Apache-2.0
"""An environment that tasks and actors run in, as processes tell each other: resolved, so that it means the same
everywhere.

Paths are of copies in the node's folder of packages, or of what an installer needs; nothing is relative.
"""

from __future__ import annotations

import re

import msgspec

from shoal.ids import content_key


class Install(msgspec.Struct, frozen=True):
    """Packages that an installer puts into an environment of their own."""

    installer: str  # "pip" or "uv"
    requirements: str  # text of a requirements file
    options: list[str] = []  # of the installer's `install`
    folder: str = ""  # where relative paths in the text start
    is_checked: bool = False  # whether the installer's `check` must be content
    timeout_s: float = 600.0
    local: list[str] = []  # what local paths in the text held when it was read

    def describe(self) -> str:
        """In a few words, without options, and without the names and passwords of addresses."""
        lines = re.sub(r"//[^/@\s]*@", "//", self.requirements).splitlines()
        names = [line for line in lines if line.strip() and not line.startswith(("-", "#"))]
        return f"{self.installer}: {', '.join(names[:4])}{', ...' if len(names) > 4 else ''}"


class Environment(msgspec.Struct, frozen=True):
    """What a process of it finds. Empty fields ask for nothing."""

    env_vars: dict[str, str] = {}  # `${NAME}` stands for what the node has
    working_dir: str = ""  # where it runs; the first place for modules
    source_dir: str = ""  # of which `working_dir` is a copy
    py_modules: list[str] = []  # further places for modules
    install: Install | None = None

    def key(self) -> str:
        """The same for equal environments, and for no others."""
        return digest(msgspec.structs.replace(self, env_vars=dict(sorted(self.env_vars.items()))))

    def describe(self) -> str:
        """In a few words, without the values of variables, which may be secrets."""
        parts = []
        if self.install is not None:
            parts.append(self.install.describe())
        if self.working_dir:
            parts.append(f"working_dir: {self.source_dir}")
        if self.py_modules:
            parts.append(f"py_modules: {len(self.py_modules)}")
        if self.env_vars:
            parts.append(f"env_vars: {', '.join(sorted(self.env_vars))}")
        return "; ".join(parts)


def digest(value: object) -> str:
    """Hash of a struct, a list or text."""
    return content_key(msgspec.msgpack.encode(value)).hex()

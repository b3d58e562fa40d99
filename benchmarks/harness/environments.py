# SPDX-License-Identifier: Apache-2.0
"""One virtual environment for each peer, made on first use under .venvs/."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

from systems.registry import System

ROOT = Path(__file__).resolve().parents[2] / ".venvs"


class EnvironmentFailed(Exception):
    """A peer could not be installed; the text is the installer's last line."""


def python_of(system: System, *, is_upgraded: bool = False) -> str:
    """The interpreter that measures `system`, installing the system first if need be.

    `is_upgraded` asks for the newest versions also where something is installed already. Raises EnvironmentFailed.
    """
    if not system.environment:
        return sys.executable
    folder = ROOT / system.environment
    return install(folder, system.requirements, stamp="\n".join(system.requirements), is_anew=is_upgraded)


def install(folder: Path, requirements: Sequence[str], *, stamp: str, is_anew: bool = False) -> str:
    """The interpreter of the environment in `folder`, with the requirements installed if need be.

    `stamp` says what is in it: nothing is done where it is what it was, unless `is_anew`. Raises EnvironmentFailed.
    """
    python = folder / "bin" / "python"
    wanted = hashlib.sha256("\n".join((sys.version, stamp)).encode()).hexdigest()
    installed = folder / "installed"
    if is_anew or not installed.exists() or installed.read_text() != wanted:
        venv.create(folder, with_pip=True, clear=not installed.exists())
        _run([str(python), "-m", "pip", "install", "--quiet", "--upgrade", *requirements])
        installed.write_text(wanted)
    return str(python)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines() or [f"status {done.returncode}"]
        raise EnvironmentFailed(lines[-1])

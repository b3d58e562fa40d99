# SPDX-License-Identifier: Apache-2.0
"""One virtual environment for each peer, made on first use under .venvs/."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import venv
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
    python = folder / "bin" / "python"
    wanted = hashlib.sha256("\n".join((sys.version, *system.requirements)).encode()).hexdigest()
    stamp = folder / "installed"
    if is_upgraded or not stamp.exists() or stamp.read_text() != wanted:
        venv.create(folder, with_pip=True, clear=not stamp.exists())
        _run([str(python), "-m", "pip", "install", "--quiet", "--upgrade", *system.requirements])
        stamp.write_text(wanted)
    return str(python)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines() or [f"status {done.returncode}"]
        raise EnvironmentFailed(lines[-1])

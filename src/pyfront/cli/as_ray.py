# SPDX-License-Identifier: Apache-2.0
"""`shoal as-ray`: run a program that is written for Ray, as it is.

It runs in a fresh interpreter, as if it had been started by hand: with one folder more in PYTHONPATH, which its workers
and the programs that it starts inherit (`shoal.compat.as_ray`)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from typing import NoReturn

import typer

VARIABLE = "PYTHONPATH"


def as_ray(context: typer.Context) -> NoReturn:
    """Run PROGRAM [ARGUMENTS], where `import ray` means Shoal: a file, `-m MODULE`, `-c CODE`, or a command.

    Options of Python may stand before it: `shoal as-ray -u prog.py`.
    """
    if not context.args:
        raise typer.BadParameter("which program? e.g. `shoal as-ray prog.py` or `shoal as-ray -m package.module`")
    command = command_of(context.args)
    sys.stdout.flush()
    os.execve(command[0], command, environment(os.environ))


def command_of(args: Sequence[str]) -> list[str]:
    """What to execute: this Python with these arguments, unless they begin with a command that is no file here, or a
    binary."""
    name = args[0]
    is_program = name.startswith("-") or (os.path.exists(name) and not _is_binary(name))
    found = None if is_program else shutil.which(name)
    if found is not None:
        return [found, *args[1:]]
    return [sys.executable, *subprocess._args_from_interpreter_flags(), *args]  # type: ignore[attr-defined] # as `multiprocessing` does


def _is_binary(path: str) -> bool:
    """Whether it is executed by the kernel, as the Python of another environment is."""
    if not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"


def environment(environ: os._Environ[str] | dict[str, str]) -> dict[str, str]:
    """The environment with the folder that makes `ray` mean Shoal in the first place of the module path."""
    import shoal.compat.as_ray

    folder = os.path.dirname(str(shoal.compat.as_ray.__file__))
    others = [entry for entry in environ.get(VARIABLE, "").split(os.pathsep) if entry and entry != folder]
    return {**environ, VARIABLE: os.pathsep.join([folder, *others])}

# SPDX-License-Identifier: Apache-2.0
"""Gates: calls that stand at one end when the test says so."""

import os
from pathlib import Path


def pass_gate(path: str) -> str:
    """Wait until the gate is opened -> its name."""
    with open(path) as file:
        return file.read()


class Gates:
    """Named pipes: whoever passes one waits until it is opened."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def new(self, name: str) -> str:
        """A closed gate -> its path, for `pass_gate`."""
        path = str(self._folder / name)
        os.mkfifo(path)
        return path

    def open(self, path: str) -> None:
        """Let one pass; waits until somebody stands there."""
        with open(path, "w") as file:
            file.write(os.path.basename(path))

# SPDX-License-Identifier: Apache-2.0
"""A node that somebody else watches: every command is a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
from tests.util.waiting import Gate

from shoal.util.state import list_nodes

TIMEOUT_S = 60.0


class Done(NamedTuple):
    """How a command ended."""

    code: int
    output: str
    errors: str

    @property
    def json(self) -> Any:
        return json.loads(self.output)


def run(*arguments: str, **environment: str) -> Done:
    """Run `shoal` with these arguments."""
    done = subprocess.run(
        [sys.executable, "-m", "shoal.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
        env=os.environ | {"COLUMNS": "200"} | environment,
    )
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def shell(shoal_node: ModuleType) -> Callable[..., Done]:
    """Runs `shoal` on the node of this test."""
    folder = str(list_nodes(detail=True)[0].runtime_dir)
    return lambda *arguments: run(*arguments, SHOAL_ADDRESS=folder)


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    """Ask for it after the node: it is opened before the node goes."""
    gate = Gate(tmp_path)
    yield gate
    gate.close()

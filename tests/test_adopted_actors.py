# SPDX-License-Identifier: Apache-2.0
"""Actors that a task created, when it is run again."""

import os
import signal
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import psutil
import pytest
from tests.adoption import Counter, crash, mark, marks

import shoal
from shoal.util import list_named_actors


@pytest.mark.parametrize("options", [{}, {"name": "one"}, {"name": "one", "get_if_exists": True}, {"max_restarts": 1}])
def test_an_actor_that_the_task_created_lives_on(shoal_node: ModuleType, tmp_path: Path, options: Any) -> None:
    @shoal.remote
    def parent() -> tuple[list[int], int]:
        handle = Counter.options(**options).remote()
        values = [shoal.get(handle.add.remote()) for _ in range(3)]
        pid = shoal.get(handle.pid.remote())
        mark(tmp_path, f"actor{pid}")
        if mark(tmp_path, "parent") < 2:
            crash()
        return [*values, shoal.get(handle.add.remote())], pid

    values, pid = shoal.get(parent.remote())
    assert values == [1, 2, 3, 4]
    assert marks(tmp_path, f"actor{pid}") == 3


@pytest.mark.parametrize(
    ("moment", "method"),
    [
        ("at once", "add"),
        ("while they end", "add"),
        ("while they end", "add_large"),  # the result is not kept, and what is of another actor is not missed
        ("when they are gone", "add"),
        ("when they are gone", "add_large"),
    ],
)
def test_an_actor_that_was_let_go_is_made_again_with_its_calls(
    shoal_node: ModuleType, tmp_path: Path, moment: str, method: str
) -> None:
    @shoal.remote
    def parent() -> list[int]:
        values = []
        pids = []
        for number in range(2):
            name = f"number {number}" if moment == "while they end" else None
            handle = Counter.options(name=name).remote()
            pids.append(shoal.get(handle.pid.remote()))
            values += [int(np.max(shoal.get(getattr(handle, method).remote()))) for _ in range(2)]
            if name is not None and mark(tmp_path, name) == 0:
                os.kill(pids[-1], signal.SIGSTOP)
                del handle
                while name in list_named_actors():
                    pass  # until it is known that nobody has a handle
            else:
                del handle
        if mark(tmp_path, "parent") == 0:
            while moment == "when they are gone" and any(psutil.pid_exists(pid) for pid in pids):
                pass
            crash()
        return values

    assert shoal.get(parent.remote()) == [1, 2, 1, 2]

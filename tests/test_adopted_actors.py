# SPDX-License-Identifier: Apache-2.0
"""Actors that a task created, when it is run again."""

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.adoption import Counter, crash, mark, marks

import shoal
from shoal import runtime


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


def test_an_actor_that_was_let_go_is_made_again_with_its_calls(shoal_node: ModuleType, tmp_path: Path) -> None:
    @shoal.remote
    def parent() -> list[int]:
        values = []
        for _ in range(2):
            handle = Counter.remote()
            values += [shoal.get(handle.add.remote()), shoal.get(handle.add.remote())]
            del handle
        if mark(tmp_path, "parent") == 0:
            while runtime.connected().calls.counters()["clients"] > 4:
                pass  # until both are gone
            crash()
        return values

    assert shoal.get(parent.remote()) == [1, 2, 1, 2]

# SPDX-License-Identifier: Apache-2.0
"""The order in which a job's calls start."""

import os
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import shoal


@shoal.remote
def note(log: str, number: int) -> int:
    with open(log, "a") as file:
        file.write(f"{number} ")
    return number


@shoal.remote
def hold(started: str, gate: str) -> None:
    with open(started, "w"), open(gate):  # until somebody writes to it
        pass


@pytest.fixture
def one_cpu() -> Any:
    shoal.init(num_cpus=1)
    yield shoal
    shoal.shutdown()


class Gate:
    """Keeps the CPU busy until it is opened."""

    def __init__(self, folder: Path) -> None:
        self.gate = str(folder / "gate")
        os.mkfifo(self.gate)
        started = folder / "started"
        self.ref = hold.remote(str(started), self.gate)
        while not started.exists():
            pass

    def open(self) -> None:
        with open(self.gate, "w"):
            pass
        shoal.get(self.ref)


def test_the_most_urgent_starts_first_whatever_the_order_of_the_calls(one_cpu: ModuleType, tmp_path: Path) -> None:
    log = str(tmp_path / "log")
    gate = Gate(tmp_path)
    priorities = [0, -128, 3, 127, 3, -1, 0]
    refs = [note.options(priority=priority).remote(log, i) for i, priority in enumerate(priorities)]
    gate.open()
    assert shoal.get(refs) == list(range(7))
    assert Path(log).read_text().split() == ["3", "2", "4", "0", "6", "5", "1"]


def test_calls_that_need_more_than_a_cpu_have_an_order_of_their_own(shoal_node: ModuleType, tmp_path: Path) -> None:
    log = str(tmp_path / "log")
    both = note.options(num_cpus=2)
    gate = Gate(tmp_path)
    refs = [both.options(priority=priority).remote(log, i) for i, priority in enumerate([0, 1, -1, 2, 0, 1])]
    gate.open()
    assert shoal.get(refs) == list(range(6))
    assert Path(log).read_text().split() == ["3", "1", "5", "0", "4", "2"]


def test_urgent_children_overtake_others(one_cpu: ModuleType, tmp_path: Path) -> None:
    log = str(tmp_path / "log")

    @shoal.remote(priority=5)
    def parent() -> int:
        return sum(shoal.get([note.options(priority=9).remote(log, i) for i in range(3)]))

    gate = Gate(tmp_path)
    usual = [note.remote(log, 10 + i) for i in range(3)]
    urgent = parent.remote()
    gate.open()
    assert shoal.get(urgent) == 3
    assert shoal.get(usual) == [10, 11, 12]
    assert Path(log).read_text().split() == ["0", "1", "2", "10", "11", "12"]


@pytest.mark.parametrize(
    ("value", "error"),
    [(128, ValueError), (-129, ValueError), (1.5, TypeError), ("high", TypeError), (True, TypeError)],
)
def test_a_priority_is_a_small_integer(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="priority"):
        note.options(priority=value)

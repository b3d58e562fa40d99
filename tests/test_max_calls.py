# SPDX-License-Identifier: Apache-2.0
"""Workers that exit after so many calls of a function."""

import os
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

import shoal


@shoal.remote(max_calls=3)
def limited(number: int) -> tuple[int, int]:
    return number, os.getpid()


@shoal.remote
def unlimited(number: int) -> tuple[int, int]:
    return number, os.getpid()


def test_a_worker_runs_so_many_calls_and_no_queued_task_is_lost(shoal_node: ModuleType) -> None:
    answers = shoal.get([limited.remote(i) for i in range(60)])
    assert [number for number, _ in answers] == list(range(60))
    assert max(Counter(pid for _, pid in answers).values()) <= 3


def test_one_call_each(shoal_node: ModuleType) -> None:
    once = limited.options(max_calls=1)
    pids = [shoal.get(once.remote(i))[1] for i in range(5)]
    assert len(set(pids)) == 5


def test_calls_of_other_functions_do_not_count(shoal_node: ModuleType) -> None:
    answers = shoal.get([unlimited.remote(i) for i in range(200)])
    assert [number for number, _ in answers] == list(range(200))
    assert max(Counter(pid for _, pid in answers).values()) > 3  # how many workers came to help is open


def test_calls_beside_those_of_others_are_all_answered(shoal_node: ModuleType) -> None:
    refs = [(limited if i % 2 else unlimited).remote(i) for i in range(200)]
    assert [number for number, _ in shoal.get(refs)] == list(range(200))


def test_failed_calls_and_repeated_attempts_count(shoal_node: ModuleType, tmp_path: Path) -> None:
    @shoal.remote(max_calls=1, retry_exceptions=True, max_retries=2)
    def fail() -> None:
        (tmp_path / str(os.getpid())).touch(exist_ok=False)
        raise ValueError("again")

    for _ in range(3):
        with pytest.raises(ValueError, match="again"):
            shoal.get(fail.remote())
    assert len(list(tmp_path.iterdir())) == 9


def test_nested_calls_are_answered(shoal_node: ModuleType) -> None:
    @shoal.remote(max_calls=1)
    def tree(depth: int) -> int:
        return 1 + sum(shoal.get([tree.remote(depth - 1) for _ in range(2)])) if depth else 1

    assert shoal.get(tree.remote(4)) == 31

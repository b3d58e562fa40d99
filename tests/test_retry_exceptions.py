# SPDX-License-Identifier: Apache-2.0
"""Attempts that end in an exception which is worth another one."""

import os
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import shoal


class TransientError(Exception):
    """Goes away when tried again."""


class WorseTransientError(TransientError):
    """Likewise."""


def attempts(folder: Path) -> int:
    """One more attempt was made -> how many there were before."""
    n = len(list(folder.iterdir()))
    (folder / f"{n}").touch()
    return n


def fail_until(folder: Path, last: int, error: type[Exception], *values: int) -> int:
    n = attempts(folder)
    if n < last:
        raise error(f"attempt {n}")
    return n + sum(values)


def remote(**options: Any) -> Any:
    return shoal.remote(**options)(fail_until)


@pytest.mark.parametrize("retried", [True, [TransientError], (OSError, TransientError), [Exception]])
def test_a_listed_exception_costs_a_retry_and_the_arguments_stay(
    shoal_node: ModuleType, tmp_path: Path, retried: Any
) -> None:
    task = remote(retry_exceptions=retried, max_retries=5)
    hundred = shoal.put(100)
    assert shoal.get(task.remote(tmp_path, 5, WorseTransientError, hundred, 1000)) == 1105
    assert attempts(tmp_path) == 6


@pytest.mark.parametrize("retried", [None, False, [], [OSError]])
def test_another_exception_is_raised_at_once(shoal_node: ModuleType, tmp_path: Path, retried: Any) -> None:
    task = remote(retry_exceptions=retried, max_retries=5)
    with pytest.raises(TransientError, match="attempt 0"):
        shoal.get(task.remote(tmp_path, 5, TransientError))
    assert attempts(tmp_path) == 1


def test_the_last_attempt_raises(shoal_node: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(TransientError, match="attempt 2"):
        shoal.get(remote(retry_exceptions=True, max_retries=2).remote(tmp_path, 5, TransientError))
    assert attempts(tmp_path) == 3


def test_without_retries_nothing_is_tried_again(shoal_node: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(TransientError, match="attempt 0"):
        shoal.get(remote(retry_exceptions=True, max_retries=0).remote(tmp_path, 5, TransientError))


def test_without_end_it_is_tried_until_it_works(shoal_node: ModuleType, tmp_path: Path) -> None:
    assert shoal.get(remote(retry_exceptions=True, max_retries=-1).remote(tmp_path, 30, TransientError)) == 30


def test_crashes_and_exceptions_share_one_count(shoal_node: ModuleType, tmp_path: Path) -> None:
    @shoal.remote(retry_exceptions=True, max_retries=3)
    def both() -> int:
        n = attempts(tmp_path)
        if n == 1:
            os._exit(1)
        if n < 4:
            raise TransientError(f"attempt {n}")
        return n

    with pytest.raises(TransientError, match="attempt 3"):
        shoal.get(both.remote())


def test_an_arguments_error_is_not_the_tasks_own(shoal_node: ModuleType, tmp_path: Path) -> None:
    bad = remote(max_retries=0).remote(tmp_path, 5, TransientError)
    with pytest.raises(TransientError, match="attempt 0"):
        shoal.get(remote(retry_exceptions=True).remote(tmp_path, 5, TransientError, bad))
    assert attempts(tmp_path) == 1


def test_all_returns_come_from_the_attempt_that_worked(shoal_node: ModuleType, tmp_path: Path) -> None:
    @shoal.remote(retry_exceptions=[ValueError], num_returns=3)
    def several() -> list[int]:
        n = attempts(tmp_path)
        return [n] * (2 if n < 2 else 3)  # a wrong number of returns is a ValueError

    assert shoal.get(several.remote()) == [2, 2, 2]


def test_options_and_remote_functions_inside_tasks_keep_it(shoal_node: ModuleType, tmp_path: Path) -> None:
    plain = remote(max_retries=3)
    retried = plain.options(retry_exceptions=[TransientError])

    @shoal.remote
    def outer() -> int:
        return shoal.get(retried.remote(tmp_path, 2, TransientError))

    assert shoal.get(outer.remote()) == 2
    with pytest.raises(TransientError):
        shoal.get(plain.remote(tmp_path, 9, TransientError))


def test_what_is_retried_can_be_cancelled(shoal_node: ModuleType, tmp_path: Path) -> None:
    ref = remote(retry_exceptions=True, max_retries=-1).remote(tmp_path, 10**9, TransientError)
    while not list(tmp_path.iterdir()):
        pass
    shoal.cancel(ref)
    with pytest.raises(shoal.TaskCancelledError):
        shoal.get(ref)

# SPDX-License-Identifier: Apache-2.0
"""Tasks that run for longer than their `timeout`."""

import os
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest

import shoal
from shoal import runtime

FOR_EVER_S = 600.0
SHORT_S = 2.5  # that an attempt has begun by then, and done what it does at once, is taken for granted
LONG_S = 300.0
nap = time.sleep  # what tasks do; no test waits for its end


@shoal.remote
def add(*values: int) -> int:
    return sum(values)


@shoal.remote(timeout=SHORT_S)
def sleeper() -> None:
    nap(FOR_EVER_S)


@shoal.remote(timeout=SHORT_S)
def parent() -> None:
    shoal.get(forever.remote())


@shoal.remote
def forever() -> None:
    nap(FOR_EVER_S)


@shoal.remote(timeout=SHORT_S)
def spinner() -> None:
    while True:
        pass


def is_timed_out(ref: Any, name: str) -> bool:
    with pytest.raises(shoal.TaskTimeoutError, match=rf"{name} was ended.* timeout of {SHORT_S} s") as caught:
        shoal.get(ref)
    assert isinstance(caught.value, TimeoutError)
    assert (caught.value.task_name, caught.value.timeout_s) == (name, SHORT_S)
    return True


@pytest.mark.parametrize("task", [sleeper, parent, spinner])
def test_a_task_that_runs_too_long_is_ended_and_its_worker_goes_on(shoal_node: ModuleType, task: Any) -> None:
    assert is_timed_out(task.remote(), task.__name__)
    assert shoal.get([add.remote(i, 1) for i in range(100)]) == list(range(1, 101))


def test_the_time_in_the_queue_does_not_count(shoal_node: ModuleType) -> None:
    first = [sleeper.remote() for _ in range(2)]  # keep both CPUs for as long as the others may run
    refs = [add.options(timeout=SHORT_S).remote(i, 1) for i in range(20)]
    assert shoal.get(refs) == list(range(1, 21))
    assert all(is_timed_out(ref, "sleeper") for ref in first)


def test_native_code_is_killed_after_a_grace_time(shoal_node: ModuleType, tmp_path: Path) -> None:
    @shoal.remote(timeout=SHORT_S, max_retries=5)
    def native() -> None:
        (tmp_path / str(os.getpid())).touch()
        sum(range(10**18))  # never looks for signals

    assert is_timed_out(native.remote(), "native")
    (seen,) = tmp_path.iterdir()
    while psutil.pid_exists(int(seen.name)):
        pass  # until it is reaped
    assert shoal.get([add.remote(i, 1) for i in range(100)]) == list(range(1, 101))


def test_it_may_clean_up_but_not_return(shoal_node: ModuleType, tmp_path: Path) -> None:
    @shoal.remote(timeout=SHORT_S)
    def tidy() -> str:
        try:
            nap(FOR_EVER_S)
        except KeyboardInterrupt:
            (tmp_path / "tidied").touch()
        return "a value"

    assert is_timed_out(tidy.remote(), "tidy")
    assert (tmp_path / "tidied").exists()


@pytest.mark.parametrize(
    ("retried", "n_attempts"),
    [(False, 1), (True, 1), ([OSError], 3), ([shoal.TaskTimeoutError], 2), ([KeyError], 1), ([TimeoutError], 2)],
)
def test_it_is_retried_only_if_that_is_listed(
    shoal_node: ModuleType, tmp_path: Path, retried: Any, n_attempts: int
) -> None:
    @shoal.remote(timeout=SHORT_S, retry_exceptions=retried, max_retries=max(1, n_attempts - 1))
    def attempt() -> None:
        (tmp_path / str(len(list(tmp_path.iterdir())))).touch()
        nap(FOR_EVER_S)

    assert is_timed_out(attempt.remote(), "attempt")
    assert len(list(tmp_path.iterdir())) == n_attempts


def test_a_later_attempt_in_time_gives_the_value(shoal_node: ModuleType, tmp_path: Path) -> None:
    @shoal.remote(timeout=SHORT_S, retry_exceptions=[shoal.TaskTimeoutError])
    def attempt() -> int:
        n = len(list(tmp_path.iterdir()))
        (tmp_path / str(n)).touch()
        if n < 2:
            nap(FOR_EVER_S)
        return n

    assert shoal.get(attempt.remote()) == 2


def test_its_children_are_cancelled(shoal_node: ModuleType) -> None:
    @shoal.remote(timeout=SHORT_S)
    def mother() -> None:
        shoal.get([forever.remote() for _ in range(3)])

    assert is_timed_out(mother.remote(), "mother")
    while runtime.connected().calls.counters()["live_slots"]:
        pass  # children that went on would keep theirs


def test_a_task_in_time_returns(shoal_node: ModuleType) -> None:
    assert shoal.get([add.options(timeout=LONG_S).remote(i, 1) for i in range(1000)]) == list(range(1, 1001))

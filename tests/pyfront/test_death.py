# SPDX-License-Identifier: Apache-2.0
"""Deaths in words: which process, of what, what it said last, what to do."""

import pickle
import re
from collections.abc import Callable

import pytest

from shoal._core import _node
from shoal.death import system_error
from shoal.errors import (
    ActorDiedError,
    ActorOutOfMemoryError,
    NodeDiedError,
    ObjectStoreFullError,
    OutOfMemoryError,
    RuntimeEnvSetupError,
    ShoalError,
    TaskCancelledError,
    TaskTimeoutError,
    WorkerCrashedError,
)
from shoal.protocol.messages import Death, MemoryEnd
from shoal.serialization.failure import encode_task_error

INFO = {"client": 3, "epoch": 1, "pid": 77, "status": 9, "class_id": 5}


def answering(death: Death) -> Callable[[int, int, int], Death]:
    return lambda index, epoch, class_id: death


def without_daemon(index: int, epoch: int, class_id: int) -> Death:
    raise NodeDiedError("gone")


def test_a_cancelled_task_and_an_overdue_one_are_named() -> None:
    cancelled = system_error(_node.ERR_CANCELLED, INFO, without_daemon, "work")
    assert isinstance(cancelled, TaskCancelledError)
    assert (str(cancelled), cancelled.task_name) == ("work was cancelled before it had a result", "work")
    overdue = system_error(_node.ERR_TIMED_OUT, {**INFO, "class_id": 2500}, without_daemon)
    assert isinstance(overdue, TaskTimeoutError)
    assert overdue.timeout_s == 2.5
    assert "the task was ended, because it ran for longer than its timeout of 2.5 s" in str(overdue)


def test_a_killed_worker_is_told_with_signal_and_last_words() -> None:
    death = Death(pid=77, signal=9, stderr=["out of", "luck"], name="simulate", log_path="/logs/77")
    error = system_error(_node.ERR_WORKER_DIED, INFO, answering(death))
    assert isinstance(error, WorkerCrashedError)
    for part in ("pid 77", "simulate", "SIGKILL", "luck", "max_retries", "/logs/77"):
        assert part in str(error)
    assert (error.pid, error.signal, error.stderr) == (77, 9, ("out of", "luck"))


def test_an_exit_code_is_told() -> None:
    error = system_error(_node.ERR_WORKER_DIED, INFO, answering(Death(pid=77, exit_code=3)))
    assert "exited with code 3" in str(error)


def test_without_the_daemon_the_wait_status_is_told() -> None:
    error = system_error(_node.ERR_WORKER_DIED, INFO, without_daemon)
    assert isinstance(error, WorkerCrashedError)
    assert (error.pid, error.signal) == (77, 9)
    error = system_error(_node.ERR_WORKER_DIED, {**INFO, "status": 3 << 8}, without_daemon)
    assert isinstance(error, WorkerCrashedError)
    assert error.exit_code == 3


def test_a_constructor_that_failed_is_the_cause() -> None:
    payload = encode_task_error(KeyError("config"), task_name="A.__init__", pid=77, node="n")
    death = Death(pid=77, exit_code=0, name="A", reason="its constructor failed", payload=payload.data)
    error = system_error(_node.ERR_ACTOR_DIED, INFO, answering(death))
    assert isinstance(error, ActorDiedError)
    assert isinstance(error.cause, KeyError)
    assert "constructor" in str(error)
    assert "'config'" in str(error)


def test_an_actor_that_ended_on_purpose_says_so() -> None:
    error = system_error(_node.ERR_ACTOR_DIED, INFO, answering(Death(pid=77, name="A", reason="killed by shoal.kill")))
    assert "actor A (pid 77) is gone: killed by shoal.kill" in str(error)


MIB = 1 << 20
ENDS = [
    (MemoryEnd(MemoryEnd.LIMIT, "simulate", 150 * MIB, 100 * MIB, "3 of 4 GiB"), "held 150 MiB.*limit is 100 MiB"),
    (MemoryEnd(MemoryEnd.PRESSURE, "simulate", 150 * MIB, 0, "3 of 4 GiB", 1), "ran short of memory; it held 150 MiB"),
    (MemoryEnd(MemoryEnd.PRESSURE, "simulate", 150 * MIB, 0, "3 of 4 GiB", 4), "last of 4 attempts"),
    (MemoryEnd(MemoryEnd.KERNEL, "simulate", 0, 0, "3 of 4 GiB"), "probably by the kernel"),
]


@pytest.mark.parametrize(("end", "told"), ENDS)
@pytest.mark.parametrize("code", [_node.ERR_OUT_OF_MEMORY, _node.ERR_WORKER_DIED, _node.ERR_ACTOR_DIED])
def test_an_end_for_want_of_memory_is_told_with_figures(end: MemoryEnd, told: str, code: int) -> None:
    death = Death(pid=77, signal=9, name="printed last", reason="killed", memory=end)
    error = system_error(code, INFO, answering(death))
    assert isinstance(error, OutOfMemoryError)
    assert isinstance(error, MemoryError)
    assert isinstance(error, ActorOutOfMemoryError) == (code == _node.ERR_ACTOR_DIED)
    assert re.search(f"simulate .pid 77.*{told}.*the node then: 3 of 4 GiB", str(error))
    assert (error.task_name, error.pid, error.peak_bytes) == ("simulate", 77, end.peak_bytes)
    assert error.limit_bytes == (end.limit_bytes or None)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert copy.__dict__ == error.__dict__


def test_without_the_daemon_an_end_for_want_of_memory_keeps_its_class() -> None:
    error = system_error(_node.ERR_OUT_OF_MEMORY, INFO, without_daemon)
    assert isinstance(error, OutOfMemoryError)
    assert error.pid == 77


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (_node.ERR_CANCELLED, TaskCancelledError),
        (_node.ERR_ROOT_ENDED, TaskCancelledError),
        (_node.ERR_STORE_FULL, ObjectStoreFullError),
        (99, ShoalError),
    ],
)
def test_every_code_has_a_typed_error(code: int, kind: type[ShoalError]) -> None:
    assert isinstance(system_error(code, INFO, without_daemon), kind)


def test_an_environment_that_could_not_be_made_is_told_with_the_installers_lines() -> None:
    death = Death(is_setup=True, reason="the environment (pip: a) could not be made: no", stderr=["one", "two"])
    advices = {_node.ERR_ENVIRONMENT: "later tasks try again", _node.ERR_ACTOR_DIED: "create a new one to try again"}
    for code, advice in advices.items():
        error = system_error(code, {"client": 0, "epoch": 3, "class_id": 4}, answering(death))
        assert type(error) is RuntimeEnvSetupError
        assert str(error).startswith(f"the environment (pip: a) could not be made: no; {advice}\n")
        assert str(error).endswith("one\n  two")
        assert error.output == ("one", "two")


def test_without_the_daemon_a_missing_environment_is_told_all_the_same() -> None:
    error = system_error(_node.ERR_ENVIRONMENT, {"client": 0, "epoch": 3}, without_daemon)
    assert "environment could not be made" in str(error)

# SPDX-License-Identifier: Apache-2.0
"""Deaths in words: which process, of what, what it said last, what to do."""

from collections.abc import Callable

import pytest

from shoal._core import _node
from shoal.death import system_error
from shoal.errors import (
    ActorDiedError,
    NodeDiedError,
    ObjectStoreFullError,
    ShoalError,
    TaskCancelledError,
    WorkerCrashedError,
)
from shoal.protocol.messages import Death
from shoal.serialization.failure import encode_task_error

INFO = {"client": 3, "epoch": 1, "pid": 77, "status": 9, "class_id": 5}


def answering(death: Death) -> Callable[[int, int, int], Death]:
    return lambda index, epoch, class_id: death


def without_daemon(index: int, epoch: int, class_id: int) -> Death:
    raise NodeDiedError("gone")


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

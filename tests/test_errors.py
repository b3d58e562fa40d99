# SPDX-License-Identifier: Apache-2.0
"""What goes wrong arrives typed, with its cause, its place and advice."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

import shoal

pytestmark = pytest.mark.usefixtures("module_node")


@shoal.remote
def fail(text: str = "boom") -> None:
    raise ValueError(text)


@shoal.remote
def identity(x: Any) -> Any:
    return x


def test_an_exception_is_an_instance_of_its_own_class() -> None:
    with pytest.raises(ValueError, match="boom") as caught:
        shoal.get(fail.remote())
    error = caught.value
    assert isinstance(error, shoal.TaskError)
    assert type(error.cause) is ValueError
    assert error.task_name.endswith("fail")
    assert error.pid != os.getpid()
    assert "raise ValueError(text)" in error.remote_traceback
    assert "executor.py" not in error.remote_traceback


def raised_by(ref: "shoal.ObjectRef[Any]") -> str:
    with pytest.raises(shoal.TaskError) as caught:
        shoal.get(ref)
    return caught.value.remote_traceback


def test_tracebacks_show_the_lines_of_what_was_shipped_by_value() -> None:
    divisor = 0

    def divide(x: int) -> float:
        return x / divisor  # in a closure

    @shoal.remote
    def call(function: Callable[[int], Any]) -> Any:
        return function(1)  # in a task

    class Divider:
        def divide(self, x: int) -> float:
            return x / divisor  # in a method

    @shoal.remote
    class Actor:
        def divide(self, x: int) -> float:
            return x / divisor  # in an actor

    actor = Actor.remote()
    of_lambda = raised_by(call.remote(lambda x: x / divisor))  # in a lambda
    of_closure, of_class, of_actor = map(
        raised_by, (call.remote(divide), call.remote(Divider().divide), actor.divide.remote(1))
    )
    for text in (of_lambda, of_closure, of_class, of_actor):
        assert f'File "{__file__}", line ' in text
        assert "<dynamic-code>" not in text
    assert "# in a task" in of_lambda
    assert "# in a lambda" in of_lambda
    assert "# in a closure" in of_closure
    assert "# in a method" in of_class
    assert "# in an actor" in of_actor


def test_a_class_defined_in_the_driver_crosses_too() -> None:
    class Custom(Exception):
        def __init__(self, code: int, text: str) -> None:
            super().__init__(text)
            self.code = code

    @shoal.remote
    def work() -> None:
        raise Custom(7, "custom")

    with pytest.raises(Custom) as caught:
        shoal.get(work.remote())
    assert caught.value.code == 7


def test_an_unpicklable_exception_arrives_as_text() -> None:
    class Unpicklable(Exception):
        def __new__(cls, *, secret: int) -> "Unpicklable":
            return super().__new__(cls)

        def __init__(self, *, secret: int) -> None:
            self.lock = threading.Lock()

        def __str__(self) -> str:
            return "still readable"

    @shoal.remote
    def work() -> None:
        raise Unpicklable(secret=1)

    with pytest.raises(shoal.TaskError, match="still readable") as caught:
        shoal.get(work.remote())
    assert caught.value.cause is None


def test_an_error_argument_fails_the_task_without_running_it() -> None:
    ref: Any = fail.remote("first")
    for _ in range(5):
        ref = identity.remote(ref)
    with pytest.raises(ValueError, match="first") as caught:
        shoal.get(ref)
    assert isinstance(caught.value, shoal.TaskError)
    assert caught.value.task_name.endswith("fail")


def test_an_error_inside_a_nested_get_shows_both_tasks() -> None:
    @shoal.remote
    def outer() -> None:
        shoal.get(fail.remote("inner"))

    with pytest.raises(ValueError, match="inner") as caught:
        shoal.get(outer.remote())
    assert "fail" in str(caught.value)
    assert "outer" in str(caught.value)


def test_get_of_a_list_raises_the_error_of_one() -> None:
    with pytest.raises(ValueError, match="boom"):
        shoal.get([identity.remote(1), fail.remote(), identity.remote(2)])


def test_a_killed_worker_is_a_typed_error_with_signal_and_stderr() -> None:
    @shoal.remote(max_retries=0)
    def die() -> None:
        print("last words", file=sys.stderr)
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(shoal.WorkerCrashedError, match="SIGKILL") as caught:
        shoal.get(die.remote())
    assert caught.value.signal == signal.SIGKILL
    assert "last words" in caught.value.stderr
    assert shoal.get(identity.remote(1)) == 1


def test_a_crash_passes_through_tasks_that_need_its_result() -> None:
    @shoal.remote(max_retries=0)
    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(shoal.WorkerCrashedError) as caught:
        shoal.get(identity.remote(identity.remote(die.remote())))
    assert caught.value.signal == signal.SIGKILL


def test_a_worker_that_exits_hard_is_told_with_its_exit_code() -> None:
    @shoal.remote(max_retries=0)
    def leave() -> None:
        os._exit(3)

    with pytest.raises(shoal.WorkerCrashedError, match="code 3"):
        shoal.get(leave.remote())


def test_sys_exit_in_a_task_is_an_error_and_the_worker_lives() -> None:
    @shoal.remote
    def leave() -> None:
        sys.exit(5)

    with pytest.raises(shoal.TaskError, match="SystemExit: 5") as caught:
        shoal.get(leave.remote())
    assert isinstance(caught.value.cause, SystemExit)
    assert caught.value.cause.code == 5


def test_a_wrong_number_of_returns_is_told() -> None:
    @shoal.remote(num_returns=3)
    def two() -> Any:
        return 1, 2

    with pytest.raises(ValueError, match="num_returns=3 but returned 2"):
        shoal.get(two.remote()[0])


def test_wrong_arguments_raise_the_functions_own_type_error() -> None:
    with pytest.raises(TypeError, match="unexpected keyword"):
        shoal.get(identity.remote(y=1))


def test_an_unpicklable_argument_is_refused_with_its_path() -> None:
    class Model:
        def __init__(self) -> None:
            self.lock = threading.Lock()

    with pytest.raises(shoal.SerializationError, match=r"args\[0\]\['model'\]\.lock: cannot pickle"):
        identity.remote({"model": Model()})
    with pytest.raises(TypeError, match=r"x\.lock"):
        identity.remote(x=Model())
    with pytest.raises(shoal.SerializationError, match="value"):
        shoal.put(threading.Lock())


def test_an_unpicklable_return_is_an_error_of_the_task() -> None:
    @shoal.remote
    def work() -> Any:
        return [threading.Lock()]

    with pytest.raises(shoal.SerializationError, match=r"value\[0\]"):
        shoal.get(work.remote())


def test_an_argument_that_does_not_unpickle_is_an_error_of_the_task() -> None:
    def explode() -> None:
        raise RuntimeError("cannot be loaded")

    class Bomb:
        def __reduce__(self) -> Any:
            return explode, ()

    with pytest.raises(RuntimeError, match="cannot be loaded"):
        shoal.get(identity.remote(Bomb()))


def test_an_unpicklable_capture_is_refused_at_the_call() -> None:
    lock = threading.Lock()

    @shoal.remote
    def work() -> None:
        lock.acquire()

    with pytest.raises(shoal.SerializationError, match="<closure lock>"):
        work.remote()


@pytest.mark.parametrize("timeout", [0, 0.05])
def test_get_times_out(timeout: float, tmp_path: Any) -> None:
    @shoal.remote
    def read(path: str) -> str:
        with open(path) as file:
            return file.read()

    os.mkfifo(tmp_path / "gate")
    ref = read.remote(str(tmp_path / "gate"))
    with pytest.raises(shoal.GetTimeoutError) as caught:
        shoal.get(ref, timeout=timeout)
    assert isinstance(caught.value, TimeoutError)
    with pytest.raises(TimeoutError):
        shoal.get([identity.remote(1), ref], timeout=timeout)
    with open(tmp_path / "gate", "w") as gate:
        gate.write("opened")
    assert shoal.get(ref, timeout=60) == "opened"


@pytest.mark.parametrize("value", [1, None, "ref", {"a": 1}])
def test_get_of_anything_else_than_refs_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="ObjectRef"):
        shoal.get(value)


def test_get_of_a_list_with_something_else_is_refused() -> None:
    with pytest.raises(TypeError):
        shoal.get([shoal.put(1), 2])  # type: ignore[list-item]


def test_put_of_a_ref_is_refused() -> None:
    with pytest.raises(TypeError, match="put a list"):
        shoal.put(shoal.put(1))


def test_remote_is_used_with_options_or_without_parentheses() -> None:
    with pytest.raises(TypeError, match="parentheses"):
        shoal.remote()
    with pytest.raises(TypeError, match="already"):
        shoal.remote(fail)
    with pytest.raises(TypeError, match="function or a class"):
        shoal.remote(7)  # type: ignore[call-overload]

# SPDX-License-Identifier: Apache-2.0
"""An exception crosses processes as an instance of its own class, or at least as text."""

import asyncio
import json
import pickle
import threading

import pytest

from shoal.errors import (
    ActorDiedError,
    GetTimeoutError,
    ObjectStoreFullError,
    ShoalError,
    TaskError,
    WorkerCrashedError,
)
from shoal.serialization.failure import NO_ROOM, decode_error, encode_error, encode_task_error


class WithArguments(Exception):
    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class WithLock(ValueError):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.lock = threading.Lock()
        self.detail = "kept"


class WithProperty(Exception):
    @property
    def message(self) -> str:
        return "the class's own"


class Hopeless(Exception):
    def __reduce__(self) -> str:
        raise RuntimeError("never")

    def __str__(self) -> str:
        return "hopeless text"

    def __new__(cls, *, secret: int) -> "Hopeless":
        return super().__new__(cls)

    def __init__(self, *, secret: int) -> None:
        super().__init__()


def crossed(error: BaseException, task_name: str = "work") -> BaseException:
    """The error as another process would raise it."""
    try:
        raise error
    except BaseException as raised:
        return decode_error(*encode_task_error(raised, task_name=task_name, pid=42, node="n1"))


@pytest.mark.parametrize(
    "error",
    [
        ValueError("boom"),
        KeyError("key"),
        WithArguments(7, "text"),
        WithLock("text"),
        json.JSONDecodeError("bad", "doc", 1),
        UnicodeDecodeError("utf-8", b"x", 0, 1, "bad"),
        OSError(2, "missing", "file.txt"),
        WorkerCrashedError("it died"),
        ObjectStoreFullError("full"),
        GetTimeoutError("late"),
        MemoryError(),
    ],
)
def test_error_is_an_instance_of_its_own_class(error: Exception) -> None:
    arrived = crossed(error)
    assert isinstance(arrived, TaskError)
    assert isinstance(arrived, type(error))
    assert type(arrived.cause) is type(error)
    assert arrived.args == error.args


def test_fields_of_the_original_are_there() -> None:
    assert getattr(crossed(WithArguments(7, "text")), "code") == 7  # noqa: B009
    lost = crossed(OSError(2, "missing", "file.txt"))
    assert isinstance(lost, FileNotFoundError)
    assert (lost.errno, lost.filename) == (2, "file.txt")
    assert getattr(crossed(WithLock("text")), "detail") == "kept"  # noqa: B009


def test_a_property_of_the_original_wins_over_our_field() -> None:
    arrived = crossed(WithProperty())
    assert getattr(arrived, "message") == "the class's own"  # noqa: B009


def test_text_tells_what_where_and_shows_the_traceback() -> None:
    text = str(crossed(ValueError("boom")))
    assert text.startswith("ValueError: boom\n\nraised in work (pid 42, node n1):\nTraceback")
    assert "in crossed" in text


def test_an_error_that_does_not_pickle_arrives_as_text() -> None:
    arrived = crossed(Hopeless(secret=1))
    assert isinstance(arrived, TaskError)
    assert arrived.cause is None
    assert arrived.type_name.endswith("Hopeless")
    assert "hopeless text" in str(arrived)


@pytest.mark.parametrize(
    "error", [SystemExit(3), KeyboardInterrupt(), StopIteration(1), GeneratorExit(), asyncio.CancelledError()]
)
def test_errors_that_would_act_on_the_waiter_are_only_carried(error: BaseException) -> None:
    arrived = crossed(error)
    assert isinstance(arrived, TaskError)
    assert not isinstance(arrived, type(error))
    assert type(arrived.cause) is type(error)


def test_an_error_that_passes_through_tasks_keeps_its_first_cause_and_all_tracebacks() -> None:
    arrived = crossed(crossed(ValueError("boom"), "inner"), "outer")
    assert isinstance(arrived, ValueError)
    assert isinstance(arrived, TaskError)
    assert type(arrived.cause) is ValueError
    assert arrived.task_name == "outer"
    assert "raised in inner" in str(arrived)
    assert "raised in outer" in str(arrived)


def test_an_error_that_arrived_can_be_pickled_again() -> None:
    arrived = crossed(WithArguments(7, "text"))
    again = pickle.loads(pickle.dumps(arrived))
    assert type(again) is type(arrived)
    assert str(again) == str(arrived)


def test_an_error_of_an_argument_goes_on_as_it_came() -> None:
    payload = encode_task_error(ValueError("boom"), task_name="first", pid=1, node="")
    assert encode_error(decode_error(*payload)) == payload


def test_our_own_errors_are_raised_as_they_are() -> None:
    died = ActorDiedError("gone")
    died.actor_name = "a"
    arrived = decode_error(*encode_error(died))
    assert type(arrived) is ActorDiedError
    assert (str(arrived), arrived.actor_name) == ("gone", "a")


def test_a_broken_pickle_still_gives_an_error_with_text() -> None:
    data = encode_error(ShoalError("text")).data.replace(b"cshoal", b"xshoal")
    assert "text" in str(decode_error(data))


def test_an_error_without_room_is_told_as_a_full_store() -> None:
    assert isinstance(decode_error(*NO_ROOM), ObjectStoreFullError)

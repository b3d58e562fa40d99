# SPDX-License-Identifier: Apache-2.0
"""An unpicklable value is refused with the path to the part that is to blame."""

import threading
from typing import Any

import pytest

from shoal.errors import SerializationError
from shoal.serialization.blame import explain_value
from shoal.serialization.fallback import encode_fallback


class Model:
    def __init__(self) -> None:
        self.weights = [1, 2, 3]
        self.lock = threading.Lock()


class Slotted:
    __slots__ = ("lock", "name")

    def __init__(self) -> None:
        self.name = "slotted"
        self.lock = threading.Lock()


def path_of(value: Any) -> str:
    with pytest.raises(SerializationError) as caught:
        encode_fallback(value, None)
    return caught.value.path


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ((({"model": Model()},), {}), "args[0]['model'].lock"),
        (((1, 2), {"model": [0, Model()]}), "model[1].lock"),
        (({"model": Model()}, 3), "args[0]['model'].lock"),
        (((Model(),), {}, [0]), "args[0].lock"),
        ([0, {"a": (Model(),)}], "value[1]['a'][0].lock"),
        (Slotted(), "value.lock"),
        (Model().lock, "value"),
        ({"key": {1: threading.Lock()}}, "value['key'][1]"),
    ],
)
def test_path_leads_to_the_culprit(value: Any, path: str) -> None:
    assert path_of(value) == path


def test_a_tuple_that_was_put_is_not_taken_for_arguments() -> None:
    value = ((1,), {"model": Model()})
    with pytest.raises(SerializationError) as caught:
        encode_fallback(value, None)
    assert caught.value.path == "model.lock"
    assert explain_value(value, caught.value).path == "value[1]['model'].lock"


def test_captured_variables_of_a_function_are_named() -> None:
    lock = threading.Lock()
    assert path_of([[lambda: lock]]) == "value[0][0].<closure lock>"


def test_message_names_type_and_advice() -> None:
    with pytest.raises(
        SerializationError, match=r"args\[0\]\.lock: cannot pickle '_thread.lock' object; create it where"
    ):
        encode_fallback(((Model(),), {}), None)


def test_a_serialization_error_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        encode_fallback(threading.Lock(), None)


def test_a_structure_that_contains_itself_does_not_loop() -> None:
    value: list[Any] = []
    value += [value, threading.Lock()]
    assert path_of(value) == "value[1]"


def test_a_huge_value_costs_a_vaguer_answer_not_a_hang() -> None:
    assert path_of([[i] for i in range(100_000)] + [threading.Lock()]) == "value"


def test_generators_get_advice_of_their_own() -> None:
    with pytest.raises(SerializationError, match="pass a list"):
        encode_fallback(((i for i in range(3)),), None)


def test_buffers_stay_out_of_band() -> None:
    numpy = pytest.importorskip("numpy")
    data, buffers = encode_fallback({"f": lambda: 1, "a": numpy.zeros(1_000_000)}, None)
    assert len(data) < 10_000
    assert [memoryview(buffer).nbytes for buffer in buffers] == [8_000_000]

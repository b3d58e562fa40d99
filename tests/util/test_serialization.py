# SPDX-License-Identifier: Apache-2.0
"""Serializers of users: where they hold, what they cover, what is refused, and that nothing of them is left."""

import copy
import pickle
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import shoal
from shoal.serialization.by_value import dumps, own_reductions
from shoal.util import deregister_serializer, inspect_serializability, register_serializer

pytestmark = pytest.mark.usefixtures("node")


class Guarded:
    """Cannot be pickled: it holds a lock."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self.lock = threading.Lock()


class Plain:
    """Can be pickled anyway."""

    def __init__(self, text: str) -> None:
        self.text = text


@pytest.fixture
def guarded() -> Iterator[None]:
    register_serializer(Guarded, serializer=lambda guarded: guarded.value, deserializer=Guarded)
    yield
    deregister_serializer(Guarded)


@shoal.remote
def value_of(guarded: Guarded) -> Any:
    return guarded.value


@shoal.remote
def make(value: Any) -> Guarded:
    return Guarded(value)


@shoal.remote
def make_registered(value: Any) -> list[Guarded]:
    register_serializer(Guarded, serializer=lambda guarded: guarded.value, deserializer=Guarded)
    return [Guarded(value)]


@pytest.mark.usefixtures("guarded")
def test_it_holds_for_values_arguments_and_what_is_inside_them() -> None:
    assert shoal.get(shoal.put(Guarded(1))).value == 1
    inner = shoal.get(shoal.put({"deep": [Guarded("x")]}))["deep"][0]
    assert (type(inner), inner.value) == (Guarded, "x")
    assert shoal.get(value_of.remote(Guarded([2]))) == [2]
    assert shoal.get(value_of.remote(guarded=Guarded(3))) == 3
    assert shoal.get(value_of.remote(shoal.put(Guarded(4)))) == 4


@pytest.mark.usefixtures("guarded")
def test_a_remote_function_may_capture_such_an_instance() -> None:
    captured = Guarded(5)
    assert shoal.get(shoal.remote(lambda: captured.value).remote()) == 5


@pytest.mark.usefixtures("guarded")
def test_an_error_may_hold_such_an_instance() -> None:
    assert pickle.loads(dumps(ValueError(Guarded(6)))).args[0].value == 6


@pytest.mark.usefixtures("guarded")
def test_refs_and_large_arrays_inside_travel_as_always() -> None:
    ref = shoal.put("kept")
    array = np.arange(100_000)
    found = shoal.get(shoal.put(Guarded({"ref": ref, "array": array}))).value
    assert found["ref"] == ref
    assert not found["array"].flags.writeable  # it looks into the store, without a copy
    assert (found["array"] == array).all()


def test_it_holds_in_the_process_that_calls_it() -> None:
    with pytest.raises(shoal.SerializationError, match="register_serializer"):
        shoal.put(Guarded(1))
    with pytest.raises(shoal.TaskError, match="lock"):
        shoal.get(make.remote(1))
    assert shoal.get(make_registered.remote(7))[0].value == 7


def test_classes_of_the_main_module_and_local_ones_are_covered() -> None:
    class Local:
        def __init__(self, n: int) -> None:
            self.n = n
            self.lock = threading.Lock()

    Local.__module__ = "__main__"
    register_serializer(Local, serializer=lambda local: local.n, deserializer=lambda n: Local(n))
    try:
        assert shoal.get(shoal.remote(lambda local: local.n + 1).remote(Local(1))) == 2
        assert [local.n for local in shoal.get(shoal.put([Local(1), Local(2)]))] == [1, 2]
    finally:
        deregister_serializer(Local)


def test_only_the_class_itself_is_covered_and_the_last_registration_counts() -> None:
    class Special(Plain):
        pass

    register_serializer(Plain, serializer=lambda plain: "first", deserializer=Plain)
    register_serializer(Plain, serializer=lambda plain: plain.text.upper(), deserializer=Plain)
    try:
        assert shoal.get(shoal.put(Plain("a"))).text == "A"
        assert shoal.get(shoal.put(Special("a"))).text == "a"
    finally:
        deregister_serializer(Plain)
    assert shoal.get(shoal.put(Plain("a"))).text == "a"


def test_numpy_arrays_can_have_one() -> None:
    register_serializer(np.ndarray, serializer=lambda array: array.tolist(), deserializer=np.array)
    try:
        found = shoal.get(shoal.put(np.arange(3)))
    finally:
        deregister_serializer(np.ndarray)
    assert found.flags.writeable  # it was made from a list
    assert found.tolist() == [0, 1, 2]


@pytest.mark.usefixtures("guarded")
def test_copy_and_pickles_of_the_program_are_not_affected() -> None:
    with pytest.raises(TypeError, match="lock"):
        pickle.dumps(Guarded(1))
    with pytest.raises(TypeError, match="lock"):
        copy.deepcopy(Guarded(1))


@pytest.mark.usefixtures("guarded")
def test_inspection_knows_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert inspect_serializability(Guarded(1), name="value") == (True, set())
    assert "can be shipped" in capsys.readouterr().out


def test_when_the_last_one_goes_nothing_is_left() -> None:
    before = dict(own_reductions)
    deregister_serializer(Plain)  # was never there
    register_serializer(Plain, serializer=lambda plain: "read", deserializer=Plain)
    deregister_serializer(Plain)
    deregister_serializer(Plain)
    assert own_reductions == before
    assert shoal.get(shoal.put(Plain("as ever"))).text == "as ever"


def test_a_deserializer_that_the_reader_cannot_load_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "only_here.py").write_text("def load(text):\n    return text\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import only_here  # type: ignore[import-not-found]

    register_serializer(Plain, serializer=lambda plain: plain.text, deserializer=only_here.load)
    try:
        ref = shoal.put(Plain("x"))
    finally:
        deregister_serializer(Plain)
        del sys.modules["only_here"]
    with pytest.raises(shoal.TaskError, match=r"Plain.*deserializer cannot be loaded.*only_here") as caught:
        shoal.get(shoal.remote(lambda plain: plain).remote(ref))
    assert isinstance(caught.value, shoal.SerializationError)


def test_the_serializers_own_error_is_shown() -> None:
    def refuse(plain: Plain) -> Any:
        raise ValueError("not this one")

    register_serializer(Plain, serializer=refuse, deserializer=Plain)
    try:
        with pytest.raises(shoal.SerializationError, match="not this one"):
            shoal.put([Plain("a")])
    finally:
        deregister_serializer(Plain)


def test_what_cannot_be_meant_is_refused() -> None:
    with pytest.raises(TypeError, match="for a class"):
        register_serializer(Plain("a"), serializer=str, deserializer=Plain)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="for a class"):
        deregister_serializer("Plain")  # type: ignore[arg-type]
    for cls in (int, dict, type, type(lambda: None), shoal.ObjectRef):
        with pytest.raises(TypeError, match="without asking"):
            register_serializer(cls, serializer=str, deserializer=cls)
    with pytest.raises(TypeError, match="serializer must be a function"):
        register_serializer(Plain, serializer="text", deserializer=Plain)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="deserializer must be a function"):
        register_serializer(Plain, serializer=str, deserializer=None)  # type: ignore[arg-type]
    lock = threading.Lock()
    with pytest.raises(shoal.SerializationError, match=r"deserializer of .*Plain"):
        register_serializer(Plain, serializer=str, deserializer=lambda text: lock)
    assert shoal.get(shoal.put(Plain("as ever"))).text == "as ever"


@pytest.mark.usefixtures("guarded")
def test_arrays_beside_an_instance_stay_out_of_band() -> None:
    array = np.arange(100_000)[::2]
    for ref in (shoal.put([Guarded("x"), array]), shoal.put([array, Guarded("x")])):
        guard, got = sorted(shoal.get(ref), key=lambda part: isinstance(part, np.ndarray))
        assert guard.value == "x"
        assert not got.flags.writeable
        np.testing.assert_array_equal(got, array)

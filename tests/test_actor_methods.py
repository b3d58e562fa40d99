# SPDX-License-Identifier: Apache-2.0
"""What counts as a method of an actor, what does not, and how many calls a handle may have pending."""

import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import shoal
from shoal.util import list_named_actors


@pytest.fixture(scope="module", autouse=True)
def node() -> Iterator[None]:
    shoal.init(num_cpus=2, namespace="of the test")
    yield
    shoal.shutdown()


class Shape:
    sides = 0

    def __init__(self, name: str) -> None:
        self.name = name

    def describe(self) -> str:
        return f"{self.name} has {self.count()} sides"

    @classmethod
    def count(cls) -> int:
        return cls.sides

    @staticmethod
    def double(n: int) -> int:
        return 2 * n

    @property
    def title(self) -> str:
        return self.name.title()

    @functools.cached_property
    def area(self) -> float:
        return 1.0

    def __len__(self) -> int:
        return self.sides

    def __call__(self, word: str) -> str:
        return word + self.name

    def __repr__(self) -> str:
        return f"Shape {self.name}"

    def __eq__(self, other: object) -> bool:
        return other == self.name

    __hash__ = None  # type: ignore[assignment]


@shoal.remote
class Square(Shape):
    sides = 4

    def describe(self) -> str:
        return "square: " + super().describe()


def test_inherited_class_and_static_methods_are_methods() -> None:
    square = Square.remote("q")
    assert shoal.get([square.describe.remote(), square.count.remote(), square.double.remote(4)]) == [
        "square: q has 4 sides",
        4,
        8,
    ]


def test_dunder_methods_run_in_the_actor_when_named() -> None:
    square: Any = Square.remote("q")
    assert shoal.get([square.__len__.remote(), square.__call__.remote("a "), square.__repr__.remote()]) == [
        4,
        "a q",
        "Shape q",
    ]
    assert shoal.get(square.__eq__.remote("q")) is True
    again = shoal.get(shoal.put([square]))[0]
    assert shoal.get(again.__repr__.remote()) == "Shape q"


def test_python_asks_the_handle_not_the_actor() -> None:
    square = Square.remote("q")
    assert repr(square).startswith("<handle to actor Square")
    assert square != "q"
    assert len({square, shoal.get(shoal.put(square))}) == 1
    with pytest.raises(TypeError):
        len(square)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["title", "area"])
def test_properties_are_refused_with_advice(name: str) -> None:
    with pytest.raises(AttributeError, match=f"'{name}' of actor Square is a property.*add a method"):
        getattr(Square.remote("q"), name)


def test_options_of_a_method_travel_with_it() -> None:
    @shoal.remote
    class Pairs:
        @shoal.method(num_returns=2)
        def pair(self) -> tuple[int, int]:
            return 1, 2

    @shoal.remote
    def call(method: Any) -> Any:
        return shoal.get(method.remote())

    pairs = Pairs.remote()
    assert shoal.get(call.remote(pairs.pair)) == [1, 2]
    assert shoal.get(call.remote(pairs.pair.options(num_returns=1, name="both"))) == (1, 2)


@shoal.remote(max_pending_calls=3)
class Gate:
    def wait(self, path: str) -> str:
        return Path(path).read_text()

    def nothing(self) -> None: ...

    @shoal.method(num_returns=0)
    def silent(self) -> None: ...


def test_one_pending_call_too_many_is_refused_at_the_call(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gate")
    gate = Gate.remote()
    first = gate.wait.remote(str(tmp_path / "gate"))
    gate.nothing.remote()  # a result that nobody keeps
    third = gate.nothing.remote()
    with pytest.raises(shoal.PendingCallsLimitExceeded, match="max_pending_calls=3") as caught:
        gate.nothing.remote()
    assert caught.value.actor_name == "Gate"
    assert isinstance(caught.value, shoal.ActorError)
    with pytest.raises(shoal.PendingCallsLimitExceeded):
        gate.silent.remote()
    (tmp_path / "gate").write_text("open")
    assert shoal.get(first) == "open"
    assert shoal.get(third) is None
    for _ in range(10):
        assert gate.silent.remote() is None  # without a result it cannot be seen to end: it does not count
    assert shoal.get(gate.nothing.remote()) is None


def test_calls_that_end_out_of_order_make_room() -> None:
    @shoal.remote(max_pending_calls=2, max_concurrency=3)
    class Threads:
        def wait(self, path: str) -> str:
            return Path(path).read_text()

        def nothing(self) -> None: ...

    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "gate")
        os.mkfifo(path)
        threads = Threads.remote()
        waiting = threads.wait.remote(path)
        for _ in range(5):
            shoal.get(threads.nothing.remote())
        Path(path).write_text("open")
        assert shoal.get(waiting) == "open"


def test_the_limit_is_each_handles_own(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gate")
    gate = Gate.options(max_pending_calls=1).remote()
    first = gate.wait.remote(str(tmp_path / "gate"))
    other = shoal.get(shoal.put([gate]))[0]
    second = other.nothing.remote()
    with pytest.raises(shoal.PendingCallsLimitExceeded):
        other.nothing.remote()
    (tmp_path / "gate").write_text("open")
    assert shoal.get([first, second]) == ["open", None]


@pytest.mark.parametrize("limit", [0, -2])
def test_a_limit_that_makes_no_sense_is_refused(limit: int) -> None:
    with pytest.raises(ValueError, match="max_pending_calls"):
        Gate.options(max_pending_calls=limit)
    with pytest.raises(TypeError, match="max_pending_calls"):
        Gate.options(max_pending_calls="many")


def test_named_actors_are_listed_by_namespace() -> None:
    here = [Square.options(name=name).remote("q") for name in ("b", "a")]
    there = Square.options(name="c", namespace="elsewhere").remote("q")
    assert list_named_actors() == ["a", "b"]
    assert list_named_actors(all_namespaces=True) == [
        {"namespace": "elsewhere", "name": "c"},
        {"namespace": "of the test", "name": "a"},
        {"namespace": "of the test", "name": "b"},
    ]

    @shoal.remote
    def listed() -> list[str]:
        return list_named_actors()

    assert shoal.get(listed.remote()) == ["a", "b"]
    for actor in [*here, there]:
        shoal.kill(actor)
        with pytest.raises(shoal.ActorDiedError):
            shoal.get(actor.describe.remote())
    assert list_named_actors(all_namespaces=True) == []

# SPDX-License-Identifier: Apache-2.0
"""Which line made which object."""

from collections.abc import Iterator
from types import ModuleType

import pytest
from tests.pyfront.cli.conftest import run
from tests.util.waiting import eventually

import shoal
from shoal import origins, runtime
from shoal.origins import parse, shown
from shoal.util.state import list_held_objects, list_nodes


@pytest.fixture
def recording_node(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.setattr(origins, "MOST_BEFORE_LOOK", 10)
    shoal.init(num_cpus=1, record_lines=True)
    yield shoal
    shoal.shutdown()


@shoal.remote
class Maker:
    def make(self) -> list[shoal.ObjectRef[str]]:
        return [shoal.put("by an actor")]


def line_of(marker: str) -> str:
    with open(__file__) as file:
        number = next(number for number, line in enumerate(file, 1) if line.rstrip().endswith(f"# {marker}"))
    return shown(__file__, number)


def test_puts_and_calls_of_each_process(recording_node: ModuleType) -> None:
    value = shoal.put("by the driver")  # the put
    maker = Maker.remote()
    call = maker.make.remote()  # the call
    (made,) = shoal.get(call)
    places: dict[str, str] = {}

    def have_told() -> bool:  # who is slow to answer is not waited for
        places.update({row.object_id: row.made_at for row in list_held_objects() if row.made_at})
        return {value.hex(), call.hex(), made.hex()} <= places.keys()

    eventually(have_told)
    assert places[value.hex()] == line_of("the put")
    assert places[call.hex()] == line_of("the call")
    assert places[made.hex()].startswith("tests/pyfront/test_origins.py:")
    folder = list_nodes(detail=True)[0].runtime_dir or ""

    def is_printed() -> bool:
        printed = run("memory", "--address", folder).output
        return "made at" in printed and line_of("the put") in printed

    eventually(is_printed)


def test_what_is_freed_is_forgotten(recording_node: ModuleType) -> None:
    kept = shoal.put(0)
    for number in range(100):
        shoal.put(number)
    hook = runtime.connected().client.made_hook
    assert hook is not None
    noted = hook.__self__  # type: ignore[attr-defined]
    assert len(parse({1: noted.text()})) <= 12
    assert kept.index | kept.generation << 32 in parse({1: noted.text()})


def test_a_node_that_does_not_record_knows_nothing(shoal_node: ModuleType) -> None:
    kept = shoal.put(1)
    assert [row.made_at for row in list_held_objects()] == [None]
    assert runtime.connected().client.made_hook is None
    assert shoal.get(kept) == 1


def test_texts() -> None:
    assert shown("/a/b/c/d/e.py", 7) == "c/d/e.py:7"
    assert parse({1: "12 a.py:3\nnoise\n", 2: "13 b c.py:4\n"}) == {12: "a.py:3", 13: "b c.py:4"}

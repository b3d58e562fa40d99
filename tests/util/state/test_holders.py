# SPDX-License-Identifier: Apache-2.0
"""Who holds an object: on a snapshot made by hand, and on a node."""

import os
from types import ModuleType

import numpy as np
from tests.util.state.scenes import DRIVER, Scene
from tests.util.waiting import Gate, Holder, eventually, hold

from shoal._core import _node as core
from shoal.util.state import HeldObject, list_held_objects
from shoal.util.state.holders import held_objects


def kinds(row: HeldObject) -> list[tuple[str, int, int]]:
    return sorted((holder.kind, holder.pid, holder.count) for holder in row.holders)


def row_of(ref: object) -> HeldObject:
    return next(row for row in list_held_objects() if row.object_id == ref.hex())  # type: ignore[attr-defined]


def test_an_unshared_object_is_held_by_its_owner_alone() -> None:
    scene = Scene()
    scene.object(closed=True, size=5)
    (row,) = held_objects(scene.snapshot(), [])
    assert (row.object_size, row.state, row.where) == (5, "RESOLVED", "inline")
    assert kinds(row) == [("REFERENCE", 101, 1)]


def test_a_shared_one_by_whom_the_daemon_has_counted() -> None:
    scene = Scene()
    number = scene.object(closed=True)
    scene.objects[0] = scene.objects[0]._replace(owner_flags=core.OWNER_SHARED)
    worker = scene.client()
    (row,) = held_objects(scene.snapshot(), [(DRIVER, number, 2), (worker, number, 1), (0, number, 1), (9, 12345, 1)])
    assert kinds(row) == [("EXPORT", 0, 1), ("REFERENCE", 101, 2), ("REFERENCE", 102, 1)]
    (row,) = held_objects(scene.snapshot(), [])
    assert row.holders == []
    (row,) = held_objects(scene.snapshot(), None)  # the daemon did not say: what made it is the best guess
    assert kinds(row) == [("REFERENCE", 101, 1)]


def test_each_kind_of_holder_on_a_node(shoal_node: ModuleType, gate: Gate) -> None:
    large = shoal_node.put(np.zeros(100_000))
    box = shoal_node.put([large, large])
    view = shoal_node.get(large)
    task = hold.remote(gate.path, large)
    holder = Holder.options(name="alice").remote()
    call = holder.hold.remote(gate.path, [large])
    eventually(lambda: [kind for kind, _, _ in kinds(row_of(large))].count("REFERENCE") >= 2)
    row = row_of(large)
    (container,) = [found for found in row.holders if found.kind == "CONTAINER"]
    assert container.id == box.hex()
    assert {found.name for found in row.holders if found.kind == "ARGUMENT"} == {"hold", "Holder.hold"}
    assert ("VIEW", os.getpid(), 1) in kinds(row)
    assert ("REFERENCE", os.getpid(), 1) in kinds(row)
    assert view[0] == 0.0
    gate.open(2)
    shoal_node.get([task, call])
    assert kinds(row_of(box)) == [("REFERENCE", os.getpid(), 1)]

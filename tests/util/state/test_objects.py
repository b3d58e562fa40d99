# SPDX-License-Identifier: Apache-2.0
"""`list_objects`: what there is, where it is, and why it is kept."""

from types import ModuleType

import numpy as np
import pytest
from tests.util.waiting import Gate, hold

from shoal.util.state import ObjectState, get_objects, list_objects, summarize_objects


def row_of(ref: object) -> ObjectState:
    (row,) = get_objects(ref.hex())  # type: ignore[attr-defined]
    return row


def test_values_of_each_size_and_what_keeps_them(shoal_node: ModuleType, gate: Gate) -> None:
    small, large = shoal_node.put(1), shoal_node.put(np.zeros(100_000))
    box = shoal_node.put([large])
    promise = hold.remote(gate.path, small)
    assert row_of(box).reference_type == "LOCAL_REFERENCE"
    row = row_of(large)
    assert (row.where, row.state, row.reference_type, row.task_status) == (
        "memory",
        "RESOLVED",
        "CAPTURED_IN_OBJECT",
        "NIL",
    )
    assert 800_000 <= row.object_size < 801_000
    assert (row.is_shared, row.n_contained_in, row.type) == (True, 1, "DRIVER")
    view = shoal_node.get(large)
    assert (row_of(large).reference_type, row_of(large).n_pins) == ("PINNED_IN_MEMORY", 1)
    assert (row_of(small).where, row_of(small).reference_type) == ("inline", "USED_BY_PENDING_TASK")
    pending = row_of(promise)
    assert (pending.state, pending.where, pending.object_size, pending.task_name) == ("PENDING", "none", 0, "hold")
    assert len(list_objects(filters=[("state", "=", "RESOLVED")])) == 3
    summary = summarize_objects()["cluster"]
    assert summary["total_objects"] == 4
    assert list(summary["summary"]) == [f"DRIVER {row.pid}"]
    assert view[0] == 0.0
    gate.open()
    shoal_node.get(promise)


def test_an_error_is_an_object_too(shoal_node: ModuleType) -> None:
    @shoal_node.remote
    def fail() -> None:
        raise ValueError("no")

    ref = fail.remote()
    with pytest.raises(ValueError, match="no"):
        shoal_node.get(ref)
    assert (row_of(ref).state, row_of(ref).task_status) == ("ERROR", "FAILED")


def test_what_nobody_refers_to_is_not_there(shoal_node: ModuleType) -> None:
    ref = shoal_node.put(1)
    object_id = ref.hex()
    assert len(get_objects(object_id)) == 1
    del ref
    shoal_node.put(2)  # references dropped before are let go of by the next call
    assert get_objects(object_id) == []

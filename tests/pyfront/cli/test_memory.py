# SPDX-License-Identifier: Apache-2.0
"""`shoal memory`."""

import os
from collections.abc import Callable
from types import ModuleType

import numpy as np
from tests.pyfront.cli.conftest import Done

Shell = Callable[..., Done]


def test_who_holds_what_the_largest_first(shoal_node: ModuleType, shell: Shell) -> None:
    small, large = shoal_node.put(1), shoal_node.put(np.zeros(1 << 20))
    view = shoal_node.get(large)
    found = shell("memory", "--json").json
    assert found["total_objects"] == 2
    assert [row["object_id"] for row in found["objects"]] == [large.hex(), small.hex()]
    assert [holder["kind"] for holder in found["objects"][0]["holders"]] == ["REFERENCE", "VIEW"]
    (process,) = found["processes"]
    assert (process["pid"], process["n_objects"]) == (os.getpid(), 2)
    assert process["n_bytes"] >= 8 << 20
    text = shell("memory").output
    assert "view of driver" in text
    assert "2 of 2 objects" in text
    assert len(shell("memory", "--limit", "1", "--json").json["objects"]) == 1
    assert view[0] == 0.0

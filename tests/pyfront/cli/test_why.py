# SPDX-License-Identifier: Apache-2.0
"""`shoal why`."""

from collections.abc import Callable
from types import ModuleType

from tests.pyfront.cli.conftest import Done
from tests.util.waiting import Gate, Holder, eventually, hold

from shoal.util.state import list_tasks

Shell = Callable[..., Done]


def test_the_chain_of_one_thing_and_of_all(shoal_node: ModuleType, gate: Gate, shell: Shell) -> None:
    assert shell("why").output == "Nothing waits.\n"
    task = hold.remote(gate.path)
    holder = Holder.options(name="alice").remote()
    ref = holder.get.remote([task])
    eventually(lambda: sorted(row.state for row in list_tasks()) == ["RUNNING", "RUNNING_IN_RAY_GET"])
    tree = shell("why", "alice").output.splitlines()
    assert tree[0] == "actor Holder 'alice' is busy"
    assert tree[1].endswith("waits in get")
    assert tree[-1].partition("runs ")[2].startswith("hold, for ")
    assert shell("why").output.splitlines()[0].endswith("waits in get")
    (reason,) = shell("why", ref.hex(), "--json").json
    assert (reason["kind"], reason["text"], reason["id"]) == ("object", "is missing", ref.hex())
    wrong = shell("why", "nobody")
    assert (wrong.code, wrong.output) == (1, "")
    assert "nothing on this node is called nobody" in wrong.errors
    gate.open()
    shoal_node.get(ref)

# SPDX-License-Identifier: Apache-2.0
"""Placement groups from a driver's side: what is set aside, who may use it, and what becomes of it."""

import gc
import pickle
import signal
import subprocess
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.util.waiting import Gate, eventually, hold

import shoal
from shoal.ids import PlacementGroupID
from shoal.util.placement_group import (
    PlacementGroup,
    get_current_placement_group,
    get_placement_group,
    placement_group,
    placement_group_table,
    remove_placement_group,
)
from shoal.util.scheduling_strategies import PlacementGroupSchedulingStrategy
from shoal.util.state import list_tasks

Script = Callable[..., "subprocess.Popen[str]"]

WAIT_S = 60.0


@pytest.fixture(autouse=True)
def address() -> Iterator[str]:
    with shoal.init(num_cpus=2, num_gpus=1, resources={"slot": 3}, namespace="here") as context:
        yield context.address


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    made = Gate(tmp_path)
    yield made
    made.close()


def within(group: PlacementGroup, bundle: int = -1, captures: bool | None = None) -> PlacementGroupSchedulingStrategy:
    return PlacementGroupSchedulingStrategy(group, bundle, captures)


def free(*kinds: str) -> tuple[float, ...]:
    found = shoal.available_resources()
    return tuple(found.get(kind, 0.0) for kind in kinds)


@shoal.remote
def where() -> str | None:
    return shoal.get_runtime_context().get_placement_group_id()


@shoal.remote
def gpus() -> list[int]:
    return shoal.get_gpu_ids()


@shoal.remote
class Member:
    def __init__(self) -> None:
        self.made_in = get_current_placement_group()

    def group(self) -> PlacementGroup | None:
        assert self.made_in == get_current_placement_group()
        return self.made_in

    def hold(self, path: str) -> None:
        shoal.get(hold.options(num_cpus=0, scheduling_strategy="DEFAULT").remote(path))

    def where_a_child_runs(self) -> tuple[str | None, bool]:
        captures = shoal.get_runtime_context().should_capture_child_tasks_in_placement_group
        return shoal.get(where.options(num_cpus=0.5).remote()), captures


@pytest.mark.parametrize("strategy", ["PACK", "SPREAD", "STRICT_PACK"])
def test_what_is_set_aside_is_not_there_for_others(strategy: str, gate: Gate) -> None:
    group = placement_group([{"CPU": 1, "slot": 2}, {"CPU": 0.5, "GPU": 0.5}], strategy=strategy)
    assert group.wait(WAIT_S)
    eventually(lambda: free("CPU", "GPU", "slot") == (0.5, 0.5, 1.0))  # a worker may be looking for work, in a seat
    assert shoal.cluster_resources()["CPU"] == 2
    assert group.bundle_specs == [{"CPU": 1.0, "slot": 2.0}, {"CPU": 0.5, "GPU": 0.5}]
    outside = hold.options(num_cpus=0, resources={"slot": 2}).remote(gate.path)
    inside = hold.options(num_cpus=0, resources={"slot": 2}, scheduling_strategy=within(group)).remote(gate.path)
    gate.open()
    assert shoal.wait([outside, inside], timeout=WAIT_S)[0] == [inside]
    remove_placement_group(group)
    gate.open()
    assert shoal.get(outside, timeout=WAIT_S) > 0
    eventually(lambda: free("CPU", "GPU", "slot") == (2.0, 1.0, 3.0))


def test_ready_gives_the_group() -> None:
    group = placement_group([{"CPU": 2}])
    assert shoal.get(group.ready(), timeout=WAIT_S) == group
    later = placement_group([{"CPU": 1}])
    ref = later.ready()
    assert not later.wait(0)
    assert shoal.wait([ref], timeout=0) == ([], [ref])
    assert placement_group_table(later)["state"] == "PENDING"
    remove_placement_group(group)
    assert later.wait(WAIT_S)
    assert shoal.get(ref, timeout=WAIT_S) == later
    with pytest.raises(ValueError, match="timeout_seconds"):
        later.wait(-1)


def test_all_bundles_or_none() -> None:
    first = placement_group([{"slot": 2}])
    second = placement_group([{"slot": 1}, {"slot": 1}])
    assert first.wait(WAIT_S)
    assert not second.wait(0)
    assert free("slot") == (1.0,)
    remove_placement_group(first)
    assert second.wait(WAIT_S)
    assert free("slot") == (1.0,)


def test_a_task_uses_its_bundle_and_a_group_is_no_larger_than_its_bundles(gate: Gate) -> None:
    group = placement_group([{"CPU": 1}, {"CPU": 1, "GPU": 1}])
    assert shoal.get(where.options(scheduling_strategy=within(group, 0)).remote(), timeout=WAIT_S) == group.id.hex()
    assert shoal.get(gpus.options(num_gpus=0.5, scheduling_strategy=within(group)).remote(), timeout=WAIT_S) == [0]
    busy = hold.options(scheduling_strategy=within(group, 0)).remote(gate.path)
    behind = where.options(scheduling_strategy=within(group, 0)).remote()
    beside = where.options(scheduling_strategy=within(group, 1)).remote()
    assert shoal.get(beside, timeout=WAIT_S) == group.id.hex()
    assert shoal.wait([behind], timeout=0)[0] == []
    gate.open()
    assert shoal.get([busy, behind], timeout=WAIT_S)[1] == group.id.hex()


@pytest.mark.parametrize(("cpus", "bundle"), [(2, -1), (1, 0)])
def test_a_demand_that_no_bundle_holds_is_refused_at_the_call(cpus: float, bundle: int) -> None:
    group = placement_group([{"CPU": 0.5}, {"CPU": 1}])
    placed = {"num_cpus": cpus, "scheduling_strategy": within(group, bundle)}
    with pytest.raises(shoal.PlacementGroupSchedulingError, match="fits into no bundle"):
        where.options(**placed).remote()
    with pytest.raises(ValueError, match=r"CPU: 0\.5"):
        Member.options(**placed).remote()


def test_actors_hold_their_bundle_while_they_live() -> None:
    group = placement_group([{"CPU": 1}, {"CPU": 1}])
    first, second = (Member.options(num_cpus=1, scheduling_strategy=within(group)).remote() for _ in range(2))
    assert shoal.get([first.group.remote(), second.group.remote()], timeout=WAIT_S) == [group, group]
    third = Member.options(num_cpus=1, scheduling_strategy=within(group)).remote()
    waits = third.group.remote()
    assert shoal.wait([waits], timeout=0)[0] == []
    shoal.kill(first)
    assert shoal.get(waits, timeout=WAIT_S) == group


def test_children_run_in_the_group_if_it_captures_them() -> None:
    group = placement_group([{"CPU": 2}])
    capturing, plain = (
        Member.options(num_cpus=0.5, scheduling_strategy=within(group, 0, captures)).remote()
        for captures in (True, False)
    )
    assert shoal.get(capturing.where_a_child_runs.remote(), timeout=WAIT_S) == (group.id.hex(), True)
    remainder = shoal.get(plain.group.remote(), timeout=WAIT_S)
    assert remainder == group
    assert get_current_placement_group() is None


def test_a_task_and_its_next_one_bind_their_calls_each_for_itself() -> None:
    @shoal.remote
    def child() -> str | None:
        return shoal.get_runtime_context().get_placement_group_id()

    @shoal.remote
    def parent(depth: int) -> list[str | None]:
        return [shoal.get(child.remote()), *(shoal.get(parent.remote(depth - 1)) if depth else [])]

    group = placement_group([{"CPU": 1}])
    captured = parent.options(scheduling_strategy=within(group, -1, True))
    for _ in range(3):  # the same workers, the same functions
        assert shoal.get(captured.remote(1), timeout=WAIT_S) == [group.id.hex()] * 2
        assert shoal.get(parent.remote(1), timeout=WAIT_S) == [None] * 2


def test_children_may_leave_the_group() -> None:
    @shoal.remote
    def parent() -> tuple[str | None, ...]:
        nobody = PlacementGroupSchedulingStrategy(None)
        calls = (where, where.options(scheduling_strategy="DEFAULT"), where.options(scheduling_strategy=nobody))
        return tuple(shoal.get([call.remote() for call in calls]))

    group = placement_group([{"CPU": 1}])
    ref = parent.options(scheduling_strategy=within(group, -1, True)).remote()
    assert shoal.get(ref, timeout=WAIT_S) == (group.id.hex(), None, None)


def test_a_call_that_waits_in_get_lends_its_cpu_to_the_group() -> None:
    @shoal.remote
    def depth(n: int) -> int:
        return 1 + shoal.get(depth.remote(n - 1)) if n else 0

    group = placement_group([{"CPU": 1}])
    assert shoal.get(depth.options(scheduling_strategy=within(group, 0, True)).remote(4), timeout=WAIT_S) == 4


def test_removal_ends_tasks_that_wait_and_tasks_that_run(gate: Gate) -> None:
    group = placement_group([{"CPU": 1}], name="short")
    placed = hold.options(max_retries=5, scheduling_strategy=within(group))
    running, queued = placed.remote(gate.path), placed.remote(gate.path)
    eventually(lambda: free("CPU") == (1.0,) and list_tasks(filters=[("state", "=", "RUNNING")]))
    remove_placement_group(group)
    for ref in (running, queued, placed.remote(gate.path)):
        with pytest.raises(shoal.TaskPlacementGroupRemoved, match=r"hold was ended .* 'short' was removed") as caught:
            shoal.get(ref, timeout=WAIT_S)
        assert caught.value.task_name == "hold"
    with pytest.raises(shoal.TaskPlacementGroupRemoved, match="make a new one"):
        where.options(num_cpus=0.5, scheduling_strategy=within(group)).remote()
    with pytest.raises(shoal.TaskPlacementGroupRemoved):
        shoal.get(group.ready(), timeout=WAIT_S)
    with pytest.raises(shoal.PlacementGroupSchedulingError, match="removed"):
        group.wait(1)
    eventually(lambda: free("CPU") == (2.0,))
    remove_placement_group(group)  # once more: no effect
    assert placement_group_table(group)["state"] == "REMOVED"
    assert shoal.get(where.remote(), timeout=WAIT_S) is None


def test_removal_ends_actors_whatever_their_restarts(gate: Gate) -> None:
    group = placement_group([{"CPU": 1}])
    options = {"num_cpus": 1, "max_restarts": -1, "max_task_retries": -1, "scheduling_strategy": within(group)}
    alive, queued = Member.options(**options).remote(), Member.options(**options).remote()
    assert shoal.get(alive.group.remote(), timeout=WAIT_S) == group
    calls = [alive.hold.remote(gate.path), queued.group.remote()]
    remove_placement_group(group)
    for ref in (*calls, alive.group.remote(), queued.group.remote()):
        with pytest.raises(shoal.ActorPlacementGroupRemoved, match="was removed") as caught:
            shoal.get(ref, timeout=WAIT_S)
        assert isinstance(caught.value, shoal.ActorDiedError)
    with pytest.raises(shoal.ActorPlacementGroupRemoved, match="make a new one"):
        Member.options(**options).remote()
    eventually(lambda: free("CPU") == (2.0,))


def test_a_group_that_can_never_be_placed_says_so_and_waits() -> None:
    with pytest.warns(shoal.InfeasibleResourcesWarning, match=r"STRICT_SPREAD .* one node") as told:
        spread = placement_group([{"CPU": 1}, {"CPU": 1}], strategy="STRICT_SPREAD")
    assert told[0].filename == __file__
    with pytest.warns(shoal.InfeasibleResourcesWarning, match="CPU: 3"):
        large = placement_group([{"CPU": 2}, {"CPU": 1}])
    for group in (spread, large):
        assert not group.wait(0)
        assert placement_group_table(group)["stats"]["scheduling_state"] == "INFEASIBLE"
        ref = group.ready()
        with pytest.raises(shoal.GetTimeoutError):
            shoal.get(ref, timeout=0.1)
        remove_placement_group(group)
        with pytest.raises(shoal.TaskPlacementGroupRemoved):
            shoal.get(ref, timeout=WAIT_S)
    eventually(lambda: free("CPU") == (2.0,))
    assert placement_group([{"CPU": 2}], strategy="STRICT_SPREAD").wait(WAIT_S)


def test_a_warning_that_is_an_error_leaves_no_group() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", shoal.InfeasibleResourcesWarning)
        with pytest.raises(shoal.InfeasibleResourcesWarning):
            placement_group([{"CPU": 3}], name="large")
    with pytest.raises(ValueError, match="large"):
        get_placement_group("large")
    with pytest.raises(TypeError, match="string"):
        get_placement_group(5)  # type: ignore[arg-type]


def test_named_groups_are_found_in_their_namespace() -> None:
    group = placement_group([{"CPU": 1}], name="mine")
    assert get_placement_group("mine") == group
    assert get_placement_group("mine").bundle_specs == group.bundle_specs
    with pytest.raises(shoal.PlacementGroupSchedulingError, match="exists in namespace"):
        placement_group([{"CPU": 1}], name="mine")
    remove_placement_group(group)
    with pytest.raises(ValueError, match="no placement group is called 'mine' in namespace 'here'"):
        get_placement_group("mine")
    assert placement_group([{"CPU": 1}], name="mine") != group


def test_the_table_has_what_rays_has() -> None:
    group = placement_group([{"CPU": 1}, {"slot": 1}], "SPREAD", "listed")
    assert group.wait(WAIT_S)
    node_id = shoal.nodes()[0]["NodeID"]
    entry = placement_group_table(group)
    assert entry["stats"].pop("end_to_end_creation_latency_ms") >= 0
    assert entry["stats"].pop("scheduling_latency_ms") >= 0
    assert entry == {
        "placement_group_id": group.id.hex(),
        "name": "listed",
        "bundles": {0: {"CPU": 1.0}, 1: {"slot": 1.0}},
        "bundles_to_node_id": {0: node_id, 1: node_id},
        "strategy": "SPREAD",
        "state": "CREATED",
        "stats": {"scheduling_state": "FINISHED"},
    }
    assert list(placement_group_table()) == [group.id.hex()]
    assert placement_group_table(PlacementGroup.empty()) == {}


def test_handles_are_values() -> None:
    group = placement_group([{"CPU": 1}])
    copy = pickle.loads(pickle.dumps(group))
    assert copy == group
    assert hash(copy) == hash(group)
    assert copy.id.binary().hex() == group.id.hex() in repr(group)
    assert PlacementGroup(group.id).bundle_count == 1  # asked of the node
    del group, copy
    gc.collect()
    assert len(placement_group_table()) == 1  # nobody removed it

    @shoal.remote
    def first_bundle(given: PlacementGroup) -> dict[str, float]:
        return given.bundle_specs[0]

    (row,) = placement_group_table().values()
    assert shoal.get(first_bundle.remote(get_group(row)), timeout=WAIT_S) == {"CPU": 1.0}


def get_group(row: dict[str, Any]) -> PlacementGroup:
    return PlacementGroup(PlacementGroupID.from_hex(row["placement_group_id"]))


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"bundles": []}, ValueError),
        ({"bundles": [{"CPU": 1}], "strategy": "TIGHT"}, ValueError),
        ({"bundles": [{"CPU": 1}], "lifetime": "long"}, ValueError),
        ({"bundles": [{"CPU": 1}], "name": 3}, TypeError),
        ({"bundles": [{"CPU": 1}], "bundle_label_selector": [{}, {}]}, ValueError),
    ],
)
def test_bad_arguments_are_refused_at_once(arguments: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        placement_group(**arguments)
    for call in (remove_placement_group, placement_group_table):
        with pytest.raises(TypeError):
            call("a group")  # type: ignore[operator]


MAKER = """
import sys
import shoal
from shoal.util.placement_group import placement_group
from shoal.util.scheduling_strategies import PlacementGroupSchedulingStrategy

shoal.init(address=sys.argv[1], namespace="here")
kept = placement_group([{"slot": 1}], name="kept", lifetime="detached")
lost = placement_group([{"CPU": 1}], name="lost")
waiting = placement_group([{"CPU": 2}], name="waiting")

@shoal.remote
def run_for_ever(path):
    with open(path):
        pass

run_for_ever.options(scheduling_strategy=PlacementGroupSchedulingStrategy(lost)).remote(sys.argv[2])
assert kept.wait(60) and lost.wait(60)
print("made", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_driver_that_dies_leaves_no_reservation(number: int, address: str, gate: Gate, script: Script) -> None:
    driver = script(MAKER, address, gate.path)
    assert driver.stdout is not None
    assert driver.stdout.readline() == "made\n"
    eventually(lambda: free("CPU", "slot") == (1.0, 2.0))
    driver.send_signal(number)
    driver.wait()
    eventually(lambda: free("CPU", "slot") == (2.0, 2.0))  # all but the detached one
    states = {row["name"]: row["state"] for row in placement_group_table().values()}
    assert states == {"kept": "CREATED", "lost": "REMOVED", "waiting": "REMOVED"}
    kept = get_placement_group("kept")
    ref = where.options(num_cpus=0, resources={"slot": 1}, scheduling_strategy=within(kept)).remote()
    assert shoal.get(ref, timeout=WAIT_S) == kept.id.hex()
    remove_placement_group(kept)
    eventually(lambda: free("slot") == (3.0,))

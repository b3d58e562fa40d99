# SPDX-License-Identifier: Apache-2.0
"""`list_placement_groups`, and why something waits for one."""

from types import ModuleType

import pytest
from tests.util.waiting import Gate, eventually, hold

import shoal
from shoal.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from shoal.util.scheduling_strategies import PlacementGroupSchedulingStrategy as In
from shoal.util.state import get_placement_group, list_placement_groups, summarize_placement_groups, why

WAIT_S = 60.0


def lines(target: object) -> str:
    return "\n".join(line for reason in why(target) for line in reason.lines())  # type: ignore[arg-type]


@pytest.fixture
def group(shoal_node: ModuleType) -> PlacementGroup:
    made = placement_group([{"CPU": 1}, {"CPU": 0.5}], "SPREAD", "mine")
    assert made.wait(WAIT_S)
    return made


def test_groups_are_listed_and_counted(group: PlacementGroup) -> None:
    waiting = placement_group([{"CPU": 2}])
    gone = placement_group([{"CPU": 0.5}])
    remove_placement_group(gone)
    (row,) = list_placement_groups(filters=[("name", "=", "mine")], detail=True)
    assert (row.state, row.strategy, row.bundles) == ("CREATED", "SPREAD", [{"CPU": 1.0}, {"CPU": 0.5}])
    assert row.bundles_available == [{"CPU": 1.0}, {"CPU": 0.5}]
    assert row.creator_job_id == shoal.get_runtime_context().get_job_id()
    assert get_placement_group(group.id.hex()) == row
    states = {row.placement_group_id: row.state for row in list_placement_groups()}
    assert states == {gone.id.hex(): "REMOVED", group.id.hex(): "CREATED", waiting.id.hex(): "PENDING"}
    found = get_placement_group(gone.id.hex())
    assert found is not None
    assert "remove_placement_group" in found.reason
    assert get_placement_group("00") is None
    assert summarize_placement_groups()["cluster"]["summary"]["PACK"]["state_counts"] == {"REMOVED": 1, "PENDING": 1}


def test_why_a_task_waits_in_its_group(group: PlacementGroup, gate: Gate) -> None:
    placed = hold.options(scheduling_strategy=In(group, 0))
    busy, waits = placed.remote(gate.path), placed.remote(gate.path)
    eventually(lambda: "has room for" in lines(waits) and "runs hold" in lines(waits))
    told = lines(waits)
    assert "is queued for {CPU: 1} in its placement group" in told
    assert (
        f"placement group 'mine' {group.id.hex()[:16]} has room for {{CPU: 0}}; {{CPU: 0.5}}, the rest is held by"
        in told
    )
    gate.open(2)
    shoal.get([busy, waits], timeout=WAIT_S)


def test_why_a_group_waits_and_what_waits_for_it(group: PlacementGroup) -> None:
    later = placement_group([{"CPU": 1}], name="later")
    ref = later.ready()
    told = lines(ref)
    assert f"placement group 'later' {later.id.hex()[:16]} waits for {{CPU: 1}}, held by" in told
    assert "placement group 'mine'" in told
    assert lines("later").startswith("placement group 'later'")
    remove_placement_group(group)
    assert shoal.get(ref, timeout=WAIT_S) == later


def test_why_a_task_outside_waits_for_what_a_group_holds(shoal_node: ModuleType) -> None:
    whole = placement_group([{"CPU": 2}], name="whole")
    assert whole.wait(WAIT_S)
    waits = hold.remote("nowhere")
    assert "placement group 'whole'" in lines(waits)
    shoal.cancel(waits)


def test_why_of_a_group_that_can_never_be_placed(shoal_node: ModuleType) -> None:
    with pytest.warns(shoal.InfeasibleResourcesWarning):
        impossible = placement_group([{"CPU": 1}] * 2, "STRICT_SPREAD")
    assert "STRICT_SPREAD wants each of its 2 bundles on another node" in lines(impossible.ready())
    (row,) = list_placement_groups()
    assert "one node" in row.reason

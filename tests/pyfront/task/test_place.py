# SPDX-License-Identifier: Apache-2.0
"""Options that say where a call runs: what they come to, and bad ones refused."""

from typing import Any

import pytest

from shoal.ids import PlacementGroupID
from shoal.protocol.places import ANYWHERE, LabelRule, Place, unmet
from shoal.task.options import ActorOptions, TaskOptions, merge_actor, merge_task
from shoal.task.place import place_of, selector_rules
from shoal.util.placement_group import PlacementGroup
from shoal.util.scheduling_strategies import (
    DoesNotExist,
    Exists,
    In,
    NodeAffinitySchedulingStrategy,
    NodeLabelSchedulingStrategy,
    NotIn,
    PlacementGroupSchedulingStrategy,
)

GROUP = PlacementGroup(PlacementGroupID(bytes(range(1, 17))), [{"CPU": 1.0}, {"CPU": 2.0}])
ID = GROUP.id.hex()


@pytest.mark.parametrize("strategy", [None, "DEFAULT", "SPREAD", NodeAffinitySchedulingStrategy("x", soft=True)])
def test_wishes_leave_nothing(strategy: Any) -> None:
    assert place_of(strategy, {}) == ANYWHERE


def test_a_group_its_bundle_and_its_children() -> None:
    assert place_of(PlacementGroupSchedulingStrategy(GROUP, 1, True), {}) == Place(ID, 1, True)
    assert place_of(PlacementGroupSchedulingStrategy(GROUP), None) == Place(ID)
    assert place_of(PlacementGroupSchedulingStrategy(PlacementGroup.empty(), 0), {}) == ANYWHERE


def test_children_follow_their_caller_unless_they_say_otherwise() -> None:
    captured = Place("aa", captures=True)
    assert place_of(None, {}, captured) == captured
    assert place_of("DEFAULT", {}, captured) == ANYWHERE
    assert place_of(PlacementGroupSchedulingStrategy(None), {}, captured) == ANYWHERE
    assert place_of(PlacementGroupSchedulingStrategy(GROUP), {}, captured) == Place(ID, captures=True)
    assert place_of(PlacementGroupSchedulingStrategy(GROUP, 0, False), {}, captured) == Place(ID, 0)


def test_hard_affinity_and_labels() -> None:
    assert place_of(NodeAffinitySchedulingStrategy("n", soft=False), {}) == Place(node_id="n")
    strategy = NodeLabelSchedulingStrategy({"a": In("1", "2"), "b": Exists()}, soft={"c": DoesNotExist()})
    assert place_of(strategy, {"z": "!q"}).rules == (
        LabelRule("z", "not in", ("q",)),
        LabelRule("a", "in", ("1", "2")),
        LabelRule("b", "exists"),
    )


def test_rules_are_met_or_not() -> None:
    rules = list(selector_rules({"a": "1", "b": "!1", "c": "in(x, y)", "d": "!in(x,y)"}))
    assert unmet(rules, {"a": "1", "c": "y"}) == []
    assert unmet(rules, {"a": "2", "b": "1", "d": "x"}) == rules
    exists, missing = LabelRule("e", "exists"), LabelRule("e", "does not exist")
    assert unmet([exists, missing], {"e": ""}) == [missing]
    assert unmet([exists, missing], {}) == [exists]
    assert [str(rule) for rule in (rules[2], missing)] == ["c in x, y", "e does not exist"]


def test_older_options_say_the_same() -> None:
    options = merge_task(
        TaskOptions(),
        {
            "placement_group": GROUP,
            "placement_group_bundle_index": 1,
            "placement_group_capture_child_tasks": True,
        },
    )
    assert options.place(None) == Place(ID, 1, True)
    assert merge_actor(ActorOptions(), {"placement_group": "default"}).place(None) == ANYWHERE
    assert merge_actor(ActorOptions(), {"placement_group": None}).place(Place("aa", captures=True)) == ANYWHERE


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"scheduling_strategy": "spread"}, ValueError),
        ({"scheduling_strategy": 7}, TypeError),
        ({"label_selector": ["a"]}, TypeError),
        ({"label_selector": {"a": 1}}, TypeError),
        ({"label_selector": {"a": ""}}, ValueError),
        ({"placement_group": GROUP, "scheduling_strategy": "SPREAD"}, ValueError),
        ({"placement_group": 3}, TypeError),
        ({"placement_group": GROUP, "placement_group_bundle_index": 2}, ValueError),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], error: type[Exception]) -> None:
    for merge in (lambda: merge_task(TaskOptions(), options), lambda: merge_actor(ActorOptions(), options)):
        with pytest.raises(error):
            merge()


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: PlacementGroupSchedulingStrategy(GROUP, -2), ValueError),
        (lambda: PlacementGroupSchedulingStrategy(GROUP, True), TypeError),
        (lambda: PlacementGroupSchedulingStrategy(GROUP, 0, "yes"), TypeError),  # type: ignore[arg-type]
        (lambda: NodeAffinitySchedulingStrategy("", soft=True), ValueError),
        (lambda: NodeAffinitySchedulingStrategy(b"x", soft=True), TypeError),  # type: ignore[arg-type]
        (lambda: NodeLabelSchedulingStrategy({}), ValueError),
        (lambda: NodeLabelSchedulingStrategy({"a": "b"}), TypeError),  # type: ignore[dict-item]
        (lambda: NodeLabelSchedulingStrategy({1: Exists()}), TypeError),  # type: ignore[dict-item]
        (lambda: In(), ValueError),
        (lambda: NotIn(1), TypeError),  # type: ignore[arg-type]
    ],
)
def test_bad_strategies_are_refused(make: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        make()

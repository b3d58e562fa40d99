# SPDX-License-Identifier: Apache-2.0
"""Where a call may run: affinity to a node, labels, and preferences that one node has no choice about."""

import os
from collections.abc import Iterator
from typing import Any

import pytest

import shoal
from shoal.util.placement_group import placement_group
from shoal.util.scheduling_strategies import (
    DoesNotExist,
    Exists,
    In,
    NodeAffinitySchedulingStrategy,
    NodeLabelSchedulingStrategy,
    NotIn,
)

WAIT_S = 60.0


@pytest.fixture(autouse=True)
def node() -> Iterator[str]:
    with shoal.init(num_cpus=1, labels={"zone": "a", "disk": "fast"}) as context:
        yield context.node_id


@shoal.remote
def pid() -> int:
    return os.getpid()


@shoal.remote
class Actor:
    def pid(self) -> int:
        return os.getpid()


def runs(**options: Any) -> bool:
    actor = Actor.options(**options).remote()
    refs = [pid.options(**options).remote(), actor.pid.remote()]
    return shoal.get(refs, timeout=WAIT_S) != []


def test_the_node_tells_its_labels(node: str) -> None:
    expected = {"ray.io/node-id": node, "zone": "a", "disk": "fast"}
    assert shoal.nodes()[0]["Labels"] == expected
    assert shoal.get_runtime_context().get_node_labels() == expected


@pytest.mark.parametrize("strategy", [None, "DEFAULT", "SPREAD", NodeAffinitySchedulingStrategy("gone", soft=True)])
def test_wishes_are_granted_as_far_as_one_node_goes(strategy: Any) -> None:
    assert runs(scheduling_strategy=strategy)


def test_affinity_to_this_node_and_to_another(node: str) -> None:
    assert runs(scheduling_strategy=NodeAffinitySchedulingStrategy(shoal.nodes()[0]["NodeID"], soft=False))
    foreign = NodeAffinitySchedulingStrategy("f" * 12, soft=False)
    with pytest.raises(shoal.TaskUnschedulableError, match="there is no node ffff"):
        pid.options(scheduling_strategy=foreign).remote()
    with pytest.raises(shoal.ActorUnschedulableError, match=r"shoal\.nodes"):
        Actor.options(scheduling_strategy=foreign, name="nobody").remote()
    with pytest.raises(shoal.ActorNotFoundError):
        shoal.get_actor("nobody")


@pytest.mark.parametrize(
    "options",
    [
        {"label_selector": {"zone": "a", "disk": "!slow", "other": "!x"}},
        {"label_selector": {"zone": "in(a, b)", "disk": "!in(slow,none)"}},
        {"scheduling_strategy": NodeLabelSchedulingStrategy({"zone": In("a", "b"), "disk": NotIn("slow")})},
        {"scheduling_strategy": NodeLabelSchedulingStrategy({"zone": Exists(), "other": DoesNotExist()})},
        {"scheduling_strategy": NodeLabelSchedulingStrategy({}, soft={"zone": In("z")})},
    ],
)
def test_labels_that_match(options: dict[str, Any]) -> None:
    assert runs(**options)


@pytest.mark.parametrize(
    "options",
    [
        {"label_selector": {"zone": "b"}},
        {"label_selector": {"zone": "!a"}},
        {"scheduling_strategy": NodeLabelSchedulingStrategy({"zone": DoesNotExist()})},
    ],
)
def test_labels_that_do_not_match_are_told_and_waited_for(options: dict[str, Any]) -> None:
    with pytest.warns(shoal.InfeasibleResourcesWarning, match=r"zone .*zone=a"):
        waits = pid.options(**options).remote()
    with pytest.warns(shoal.InfeasibleResourcesWarning, match="zone"):
        actor = Actor.options(**options).remote()
    assert shoal.get(pid.remote(), timeout=WAIT_S) > 0  # others are not held up
    assert shoal.wait([waits, actor.pid.remote()], num_returns=2, timeout=0)[0] == []


def test_a_bundle_may_ask_for_labels() -> None:
    assert placement_group([{"CPU": 1}], bundle_label_selector=[{"zone": "a"}]).wait(WAIT_S)
    with pytest.warns(shoal.InfeasibleResourcesWarning, match="bundle 0 wants a node with zone in b"):
        assert not placement_group([{"CPU": 1}], bundle_label_selector=[{"zone": "b"}]).wait(0)


def test_bad_labels_are_refused() -> None:
    shoal.shutdown()
    for labels, error in (({"a": 1}, TypeError), ({"": "x"}, ValueError), ("a=b", TypeError)):
        with pytest.raises(error, match="labels"):
            shoal.init(labels=labels)  # type: ignore[arg-type]
    assert not shoal.is_initialized()


def test_labels_are_of_a_node_that_is_started(node: str) -> None:
    address = shoal.nodes()[0]["NodeID"]
    assert address == node
    shoal.shutdown()
    with pytest.raises(ValueError, match="labels is a property of the node"):
        shoal.init(address="auto", labels={"a": "b"})

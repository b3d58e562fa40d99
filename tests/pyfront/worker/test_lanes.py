# SPDX-License-Identifier: Apache-2.0
"""Lanes let in as many as they may, keep the others in order, and do not wait for one another."""

from typing import Any

from shoal.worker.lanes import Lanes


def test_a_lane_lets_in_as_many_as_it_may_and_then_one_for_each_that_leaves() -> None:
    lanes, tasks = Lanes(1, {"io": 2}), [object() for _ in range(5)]
    calls: list[Any] = tasks
    assert [lanes.enter("io", call) for call in calls] == [True, True, False, False, False]
    assert lanes.enter(None, calls[0])
    assert [lanes.leave("io") for _ in range(3)] == tasks[2:]
    assert lanes.leave("io") is None
    assert lanes.leave("io") is None
    assert [lanes.enter("io", call) for call in calls[:3]] == [True, True, False]


def test_calls_that_are_given_up_leave_the_queue() -> None:
    calls: list[Any] = [object() for _ in range(4)]
    lanes = Lanes(1, {})
    for call in calls:
        lanes.enter(None, call)
    lanes.give_up(lambda call: call is calls[2])
    assert [lanes.leave(None) for _ in range(3)] == [calls[1], calls[3], None]

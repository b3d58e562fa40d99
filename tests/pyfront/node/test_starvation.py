# SPDX-License-Identifier: Apache-2.0
"""Waiting calls are told about: at once and again when nothing can come of it, late and once when something can."""

from shoal.node.starvation import PERIOD_S, Starvation, Wait

IMPOSSIBLE = Wait("A call", "{CPU: 3}", "The node has two. Use num_cpus=...", is_queue=False)
POSSIBLE = Wait("A call", "{GPU: 1}, which actors hold", None, is_queue=False)
QUEUED = Wait("A call", "{CPU: 1}", None, is_queue=True)


def test_an_impossible_demand_is_told_every_period() -> None:
    starvation = Starvation()
    times_s = [0.0, 1.0, PERIOD_S, PERIOD_S + 1, 2 * PERIOD_S]
    told = [starvation.warning(1, IMPOSSIBLE, 1.0, now_s) is not None for now_s in times_s]
    assert told == [True, False, True, False, True]


def test_what_the_reply_said_is_not_repeated_at_once() -> None:
    starvation = Starvation()
    starvation.told(1, now_s=0.0)
    assert starvation.warning(1, IMPOSSIBLE, 5.0, now_s=5.0) is None
    assert "num_cpus" in str(starvation.warning(1, IMPOSSIBLE, 30.0, now_s=PERIOD_S))


def test_a_possible_demand_is_told_once_and_late() -> None:
    starvation = Starvation()
    assert starvation.warning(2, POSSIBLE, 5.0, now_s=5.0) is None
    told = starvation.warning(2, POSSIBLE, PERIOD_S, now_s=40.0)
    assert told == "A call has waited 30 s for {GPU: 1}, which actors hold."
    assert starvation.warning(2, POSSIBLE, 90.0, now_s=100.0) is None


def test_a_long_queue_of_cpu_tasks_is_no_defect() -> None:
    assert Starvation().warning(3, QUEUED, 1000.0, now_s=1000.0) is None


def test_each_class_is_told_by_itself() -> None:
    starvation = Starvation()
    assert starvation.warning(1, IMPOSSIBLE, 1.0, now_s=0.0)
    assert starvation.warning(2, IMPOSSIBLE, 1.0, now_s=0.0)

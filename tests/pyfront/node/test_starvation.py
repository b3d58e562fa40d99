# SPDX-License-Identifier: Apache-2.0
"""Waiting calls are told about: at once and again when nothing can come of it, late and once when something can."""

from shoal.node.resources import Ledger
from shoal.node.starvation import PERIOD_S, Starvation

LEDGER = Ledger({"CPU": 2.0, "GPU": 1.0})
IMPOSSIBLE = {"CPU": 3.0}


def test_an_impossible_demand_is_told_every_period() -> None:
    starvation = Starvation(LEDGER)
    times_s = [0.0, 1.0, PERIOD_S, PERIOD_S + 1, 2 * PERIOD_S]
    told = [starvation.warning(1, IMPOSSIBLE, 1.0, now_s) is not None for now_s in times_s]
    assert told == [True, False, True, False, True]


def test_what_the_reply_said_is_not_repeated_at_once() -> None:
    starvation = Starvation(LEDGER)
    starvation.told(1, now_s=0.0)
    assert starvation.warning(1, IMPOSSIBLE, 5.0, now_s=5.0) is None
    assert "num_cpus" in str(starvation.warning(1, IMPOSSIBLE, 30.0, now_s=PERIOD_S))


def test_a_possible_demand_is_told_once_and_late() -> None:
    starvation = Starvation(LEDGER)
    assert starvation.warning(2, {"GPU": 1.0}, 5.0, now_s=5.0) is None
    assert "actors" in str(starvation.warning(2, {"GPU": 1.0}, PERIOD_S, now_s=40.0))
    assert starvation.warning(2, {"GPU": 1.0}, 90.0, now_s=100.0) is None


def test_a_long_queue_of_cpu_tasks_is_no_defect() -> None:
    assert Starvation(LEDGER).warning(3, {"CPU": 1.0}, 1000.0, now_s=1000.0) is None


def test_each_class_is_told_by_itself() -> None:
    starvation = Starvation(LEDGER)
    assert starvation.warning(1, IMPOSSIBLE, 1.0, now_s=0.0)
    assert starvation.warning(2, IMPOSSIBLE, 1.0, now_s=0.0)

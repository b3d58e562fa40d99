# SPDX-License-Identifier: Apache-2.0
"""How often and how soon: the pure part of restarting actors."""

from shoal.node.restarts import KEPT_ENDS, LONGEST_PAUSE_S, Restarts


def test_a_limit_is_used_up() -> None:
    restarts = Restarts(2)
    assert restarts.is_left
    restarts.begin("one")
    assert restarts.is_left
    restarts.begin("two")
    assert not restarts.is_left
    assert restarts.ends == ["one", "two"]


def test_none_are_left_without_any_or_when_it_is_over() -> None:
    assert not Restarts().is_left
    restarts = Restarts(-1)
    for n in range(100):
        restarts.begin(str(n))
    assert restarts.is_left
    assert restarts.ends == ["95", "96", "97", "98", "99"][-KEPT_ENDS:]
    restarts.is_over = True
    assert not restarts.is_left


def test_pauses_double_while_constructors_fail() -> None:
    restarts = Restarts(-1)
    assert [restarts.begin("") for _ in range(4)] == [0.0, 0.05, 0.1, 0.2]
    for _ in range(20):
        pause_s = restarts.begin("")
    assert pause_s == LONGEST_PAUSE_S
    restarts.succeeded()
    assert restarts.begin("") == 0.0

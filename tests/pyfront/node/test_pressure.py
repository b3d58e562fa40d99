# SPDX-License-Identifier: Apache-2.0
"""Who goes first when the node is short of memory: decided from figures alone."""

from hypothesis import given
from hypothesis import strategies as st

from shoal.memory import GIB, MIB, NodeMemory
from shoal.node.pressure import (
    OFTEN_S,
    SELDOM_S,
    WORTHWHILE_BYTES,
    Candidate,
    choose_victim,
    is_short,
    next_look_s,
)


def one(index: int, *, retriable: bool = True, since: int = 0, held: int = GIB) -> Candidate:
    return Candidate(index, 1, retriable, since, held)


def test_the_newest_that_is_run_again_goes_first() -> None:
    assert choose_victim([one(1, since=5), one(2, since=9), one(3, since=7)]) == one(2, since=9)
    old, new = one(1, since=5), one(2, since=9, retriable=False, held=4 * GIB)
    assert choose_victim([new, old]) == old


def test_without_one_that_is_run_again_the_newest_goes() -> None:
    candidates = [one(index, retriable=False, since=since) for index, since in ((1, 3), (2, 8), (3, 5))]
    assert choose_victim(candidates) == candidates[1]


def test_who_holds_next_to_nothing_is_spared() -> None:
    small, big = one(1, since=9, held=MIB), one(2, since=1, retriable=False)
    assert choose_victim([small, big]) == big
    assert choose_victim([small]) is None
    assert choose_victim([]) is None


ANY_CANDIDATE = st.builds(Candidate, st.integers(), st.integers(), st.booleans(), st.integers(), st.integers(0, 2**40))


@given(st.lists(ANY_CANDIDATE))
def test_nobody_with_a_better_claim_to_live_is_chosen(candidates: list[Candidate]) -> None:
    chosen = choose_victim(candidates)
    if chosen is None:
        assert not any(other.held_bytes >= WORTHWHILE_BYTES for other in candidates)
        return
    assert chosen.held_bytes >= WORTHWHILE_BYTES
    for other in candidates:
        if other.held_bytes >= WORTHWHILE_BYTES:
            assert chosen.is_retriable or not other.is_retriable
            assert other.is_retriable != chosen.is_retriable or other.since_ns <= chosen.since_ns


def test_the_node_is_looked_at_often_only_near_the_threshold() -> None:
    assert next_look_s(NodeMemory(100, 50), 0.95) == SELDOM_S
    assert next_look_s(NodeMemory(100, 90), 0.95) == OFTEN_S
    assert not is_short(NodeMemory(100, 95), 0.95)
    assert is_short(NodeMemory(100, 96), 0.95)


def test_a_threshold_of_one_switches_the_watch_off() -> None:
    assert not is_short(NodeMemory(100, 100), 1.0)
    assert next_look_s(NodeMemory(100, 100), 1.0) == SELDOM_S

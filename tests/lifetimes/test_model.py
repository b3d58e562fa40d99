# SPDX-License-Identifier: Apache-2.0
"""Random programs on one node against a model of what must be alive: never freed while held, gone once dropped.

Short runs repeat the same choices each time; `SHOAL_LONG=1` draws new ones, many more, and hypothesis prints how to
repeat a run that fails.
"""

import os
import signal
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

import shoal

from .conftest import await_held, held

IS_LONG = os.environ.get("SHOAL_LONG", "0") not in ("", "0")
SIZES = (1, 200, 20_000)  # of arrays: in the record, in a block, in a run

NUMBER = st.integers(0, 1_000)
PICK = st.integers(0, 1 << 16)
PICKS = st.lists(PICK, min_size=1, max_size=4)

Holding = tuple[Any, Any]
"""A ref, and what its value must be: a number, or a list of what its refs must be."""


@shoal.remote
def make(n: int, size: int) -> Any:
    """A container made by a worker, with refs to objects of its own."""
    return [shoal.put(np.full(size, n)), shoal.put([shoal.put(np.full(size, n + 1))])]


@shoal.remote
def same(refs: list[Any], _waited_for: Any = None) -> list[Any]:
    return refs


@shoal.remote(max_retries=3)
def same_at_second_try(refs: list[Any], path: str) -> list[Any]:
    """Kills its worker once, with references in its hands."""
    shoal.put([refs, shoal.put(refs)])
    if not os.path.exists(path):
        open(path, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return refs


@shoal.remote
def fail(refs: list[Any]) -> None:
    raise LookupError(refs)


@shoal.remote
class Keeper:
    def __init__(self) -> None:
        self.kept: list[Any] = []

    def keep(self, refs: list[Any]) -> None:
        self.kept.append(refs)

    def take(self) -> Any:
        return self.kept.pop()

    def pass_to(self, other: Any) -> None:
        shoal.get(other.keep.remote(self.kept.pop()))

    def catch_up(self) -> None:
        """Returns once the caller's earlier calls are done."""


def check(ref: Any, expected: Any) -> None:
    """The value of a ref is what the model says, all the way down."""
    value = shoal.get(ref)
    if isinstance(expected, int):
        assert int(value[0]) == int(value[-1]) == expected
        return
    assert len(value) == len(expected)
    for inner, inner_expected in zip(value, expected, strict=True):
        check(inner, inner_expected)


class Program(RuleBasedStateMachine):
    """One program. What it holds is in lists of its own, so that a drop is a drop; rules draw what to pick."""

    folder: str
    n_files = 0

    def __init__(self) -> None:
        super().__init__()
        self.before = held()  # a program that failed may still hold something: it is not this one's fault
        self.holdings: list[Holding] = []
        self.keepers: list[Any] = [[Keeper.remote(), []] for _ in range(2)]  # handles, and what their actors keep

    def _pick(self, picks: list[int]) -> tuple[list[Any], list[Any]]:
        """Refs of some holdings, and what their values must be."""
        chosen = [self.holdings[pick % len(self.holdings)] for pick in picks] if self.holdings else []
        return [ref for ref, _ in chosen], [expected for _, expected in chosen]

    def _take(self, pick: int) -> Holding:
        """One holding, which leaves the list."""
        return self.holdings.pop(pick % len(self.holdings))

    @rule(n=NUMBER, size=st.sampled_from(SIZES))
    def put(self, n: int, size: int) -> None:
        self.holdings.append((shoal.put(np.full(size, n)), n))

    @rule(picks=PICKS)
    def put_container(self, picks: list[int]) -> None:
        refs, expected = self._pick(picks)
        self.holdings.append((shoal.put(refs), expected))

    @rule(n=NUMBER, size=st.sampled_from(SIZES))
    def make_in_a_worker(self, n: int, size: int) -> None:
        self.holdings.append((make.remote(n, size), [n, [n + 1]]))

    @rule(picks=PICKS, waits=st.booleans())
    def pass_through_a_task(self, picks: list[int], waits: bool) -> None:
        refs, expected = self._pick(picks)
        self.holdings.append((same.remote(refs, refs[0] if waits and refs else None), expected))

    @rule(picks=PICKS)
    def pass_through_a_task_whose_worker_dies(self, picks: list[int]) -> None:
        refs, expected = self._pick(picks)
        Program.n_files += 1
        path = os.path.join(self.folder, str(Program.n_files))
        self.holdings.append((same_at_second_try.remote(refs, path), expected))

    @rule(picks=PICKS)
    def pass_through_an_error(self, picks: list[int]) -> None:
        refs, expected = self._pick(picks)
        try:
            shoal.get(fail.remote(refs))
        except LookupError as error:
            self.holdings.append((shoal.put(error.args[0]), expected))

    @precondition(lambda self: self.holdings)
    @rule(pick=PICK)
    def open_container(self, pick: int) -> None:
        ref, expected = self._take(pick)
        if isinstance(expected, int):
            check(ref, expected)
        else:
            self.holdings += zip(shoal.get(ref), expected, strict=True)

    @precondition(lambda self: self.holdings)
    @rule(pick=PICK)
    def drop(self, pick: int) -> None:
        self._take(pick)

    @precondition(lambda self: self.holdings)
    @rule(pick=PICK)
    def drop_in_another_thread(self, pick: int) -> None:
        thread = threading.Thread(target=lambda: check(*self._take(pick)))
        thread.start()
        thread.join()

    @precondition(lambda self: self.holdings)
    @rule(pick=PICK)
    def look(self, pick: int) -> None:
        check(*self.holdings[pick % len(self.holdings)])

    @rule(keeper=st.integers(0, 1), picks=PICKS)
    def keep(self, keeper: int, picks: list[int]) -> None:
        refs, expected = self._pick(picks)
        handle, kept = self.keepers[keeper]
        handle.keep.remote(refs)
        kept.append(expected)

    @rule(keeper=st.integers(0, 1))
    def take_back(self, keeper: int) -> None:
        handle, kept = self.keepers[keeper]
        if kept:
            self.holdings.append((handle.take.remote(), kept.pop()))

    @rule(giver=st.integers(0, 1))
    def pass_between_actors(self, giver: int) -> None:
        (handle, kept), (other, others_kept) = self.keepers[giver], self.keepers[1 - giver]
        if kept:
            shoal.get(other.catch_up.remote())  # calls of two callers have no order between them
            shoal.get(handle.pass_to.remote(other))
            others_kept.append(kept.pop())

    @rule(keeper=st.integers(0, 1), is_killed=st.booleans())
    def replace_actor(self, keeper: int, is_killed: bool) -> None:
        if is_killed:
            shoal.get(self.keepers[keeper][0].catch_up.remote())  # what it was asked for would be lost with it
            shoal.kill(self.keepers[keeper][0])
        self.keepers[keeper] = [Keeper.remote(), []]

    def teardown(self) -> None:
        for handle, kept in self.keepers:
            while kept:
                self.holdings.append((handle.take.remote(), kept.pop()))
        del handle
        while self.holdings:
            check(*self.holdings.pop())
        self.keepers.clear()
        await_held(self.before)


@pytest.fixture
def program(before: dict[str, float], tmp_path: Any) -> type[Program]:
    Program.folder = str(tmp_path)
    return Program


@pytest.mark.timeout(1_800 if IS_LONG else 120)
def test_what_is_held_is_there_and_what_is_not_is_gone(program: type[Program]) -> None:
    run_state_machine_as_test(
        program,
        settings=settings(
            max_examples=400 if IS_LONG else 12,
            stateful_step_count=60 if IS_LONG else 30,
            derandomize=not IS_LONG,
            database=None,
            deadline=None,
            print_blob=True,
            phases=[Phase.generate, Phase.shrink] if IS_LONG else [Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert held()["live_slots"] == 0

# SPDX-License-Identifier: Apache-2.0
"""Dynamic batching on a clock that jumps to the next timer, so that no test waits and every time is exact."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any

import pytest

from rl.batching import DynamicBatcher

MAX_DELAY_S = 0.002


class JumpingSelector(selectors.DefaultSelector):
    """Instead of waiting for a timer, moves the clock to it."""

    now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.now_s += timeout or 0.0
        return super().select(0)


def run(main: Coroutine[Any, Any, Any]) -> Any:
    selector = JumpingSelector()
    loop = asyncio.SelectorEventLoop(selector)
    loop.time = lambda: selector.now_s  # type: ignore[method-assign]
    try:
        return loop.run_until_complete(main)
    finally:
        loop.close()


class Doubler:
    """Answers each number by its double and remembers the batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []

    def __call__(self, numbers: list[int]) -> list[int]:
        self.batches.append(numbers)
        return [2 * number for number in numbers]


def test_a_full_batch_is_answered_at_once() -> None:
    async def main() -> tuple[list[int], float]:
        batcher = DynamicBatcher(doubler, max_batch=3, max_delay_s=MAX_DELAY_S)
        answers = await asyncio.gather(*(batcher.ask(number) for number in range(3)))
        return answers, asyncio.get_running_loop().time()

    doubler = Doubler()
    assert run(main()) == ([0, 2, 4], 0.0)
    assert doubler.batches == [[0, 1, 2]]


def test_a_lonely_request_waits_for_the_limit_and_no_longer() -> None:
    async def main() -> tuple[int, float]:
        batcher = DynamicBatcher(Doubler(), max_batch=3, max_delay_s=MAX_DELAY_S)
        return await batcher.ask(21), asyncio.get_running_loop().time()

    answer, at_s = run(main())
    assert (answer, at_s) == (42, pytest.approx(MAX_DELAY_S))


def test_the_clock_starts_with_the_first_request_of_a_batch() -> None:
    async def later(batcher: DynamicBatcher[int, int], number: int, after_s: float) -> float:
        await asyncio.sleep(after_s)
        await batcher.ask(number)
        return asyncio.get_running_loop().time()

    async def main() -> list[float]:
        batcher = DynamicBatcher(doubler, max_batch=8, max_delay_s=MAX_DELAY_S)
        return await asyncio.gather(*(later(batcher, n, after_s) for n, after_s in enumerate([0.0, 0.0015, 0.0025])))

    doubler = Doubler()
    assert run(main()) == pytest.approx([0.002, 0.002, 0.0045])
    assert doubler.batches == [[0, 1], [2]]


def test_more_requests_than_fit_make_several_batches() -> None:
    async def main() -> DynamicBatcher[int, int]:
        batcher = DynamicBatcher(doubler, max_batch=4, max_delay_s=MAX_DELAY_S)
        assert await asyncio.gather(*(batcher.ask(number) for number in range(10))) == list(range(0, 20, 2))
        return batcher

    doubler = Doubler()
    batcher = run(main())
    assert [len(batch) for batch in doubler.batches] == [4, 4, 2]
    assert (batcher.requests, batcher.batches) == (10, 3)


def test_a_failing_batch_fails_each_of_its_requests() -> None:
    def fail(numbers: list[int]) -> list[int]:
        raise ArithmeticError(f"{len(numbers)} at once")

    async def main() -> list[Any]:
        batcher = DynamicBatcher(fail, max_batch=2, max_delay_s=MAX_DELAY_S)
        return await asyncio.gather(batcher.ask(1), batcher.ask(2), return_exceptions=True)

    assert [str(error) for error in run(main())] == ["2 at once"] * 2


def test_a_cancelled_request_does_not_disturb_the_others() -> None:
    async def main() -> int:
        batcher = DynamicBatcher(Doubler(), max_batch=8, max_delay_s=MAX_DELAY_S)
        given_up = asyncio.ensure_future(batcher.ask(1))
        patient = asyncio.ensure_future(batcher.ask(2))
        await asyncio.sleep(0)
        given_up.cancel()
        return await patient

    assert run(main()) == 4

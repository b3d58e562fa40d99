# SPDX-License-Identifier: Apache-2.0
"""Dynamic batching: concurrent requests wait for each other, but never longer than a limit, to be answered together.

A policy network answers thirty requests in little more time than one. So the first request starts a clock, and the
batch is answered when it is full or when the clock runs out, whichever comes first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Request = TypeVar("Request")
Answer = TypeVar("Answer")


class DynamicBatcher(Generic[Request, Answer]):
    """Gathers the requests of one event loop into batches; belongs to that loop."""

    def __init__(
        self, answer_batch: Callable[[list[Request]], Sequence[Answer]], max_batch: int, max_delay_s: float
    ) -> None:
        """
        Args:
            answer_batch: gives one answer per request, in their order. If it raises, every request of the batch raises.
            max_batch: requests that are answered without waiting any longer.
            max_delay_s: longest time that a request waits for others.
        """
        self._answer_batch = answer_batch
        self._max_batch = max_batch
        self._max_delay_s = max_delay_s
        self._waiting: list[tuple[Request, asyncio.Future[Answer]]] = []
        self._timer: asyncio.TimerHandle | None = None
        self.requests = 0
        self.batches = 0

    async def ask(self, request: Request) -> Answer:
        """The answer to one request."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((request, answer))
        if len(self._waiting) >= self._max_batch:
            self._answer_waiting()
        elif self._timer is None:
            self._timer = loop.call_later(self._max_delay_s, self._answer_waiting)
        return await answer

    def _answer_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        batch, self._waiting = self._waiting, []
        self.batches += 1
        self.requests += len(batch)
        try:
            answers = self._answer_batch([request for request, _ in batch])
        except Exception as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), answer in zip(batch, answers, strict=True):
            if not future.done():  # its asker may have been cancelled meanwhile
                future.set_result(answer)

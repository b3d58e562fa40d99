# SPDX-License-Identifier: Apache-2.0
"""Delivering what a call of an async actor yields: as items.py does, without holding up the loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from types import CoroutineType
from typing import Any

from shoal._core._node import RETURNS_STREAM, Client, ObjectRef, Task
from shoal.asyncio_bridge import resolution
from shoal.errors import SerializationError
from shoal.serialization.blame import explain_value
from shoal.task.dynamic import DynamicObjectRefGenerator
from shoal.worker.items import DELIVERING, Explain, close, iterator_of, put_item

ITEMS_PER_TURN = 100  # of a plain generator; then the loop turns once


async def send_on_loop(client: Client, task: Task, name: str, value: object, explain: Explain) -> None:
    """`items.send` on an event loop, which goes on meanwhile. `value` may be an async iterator, too."""
    if isinstance(value, CoroutineType):
        value = await value
    items = value if hasattr(type(value), "__anext__") else _turning(iterator_of(name, value))
    try:
        if task.num_returns == RETURNS_STREAM:
            await _stream(task, items)
        else:
            client.finish(task, (await _collected(client, items, explain),))
            return
    finally:
        await items.aclose()  # type: ignore[attr-defined]
    task.end_stream()


async def _stream(task: Task, items: Any) -> None:
    skip = task.delivered
    async for item in items:
        if skip:
            skip -= 1
            continue
        try:
            if not task.offer(item):
                return
        except SerializationError as error:
            raise explain_value(item, error) from error.__cause__
        while (permit := task.blocked_by()) is not None:
            await resolution(permit)
        if not task.is_wanted:
            return


async def _collected(client: Client, items: Any, explain: Explain) -> DynamicObjectRefGenerator[Any]:
    refs: list[ObjectRef[Any]] = []
    try:
        async for item in items:
            refs.append(put_item(client, item))  # noqa: PERF401  # those before an error stay
    except Exception as error:
        refs.append(client.put_error(*explain(error, 1)))
    return DynamicObjectRefGenerator(refs)


async def _turning(items: Iterator[Any]) -> AsyncIterator[Any]:
    n = 0
    try:
        for item in items:
            yield item
            n += 1
            if n % ITEMS_PER_TURN == 0:
                await asyncio.sleep(0)
    finally:
        close(items)


DELIVERING |= {f.__code__ for f in (send_on_loop, _stream, _turning)}

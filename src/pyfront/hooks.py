# SPDX-License-Identifier: Apache-2.0
"""What the compiled client calls back into, imported when first needed: none of it is on the path of a plain call."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from shoal._core._node import Client, ObjectRef, ObjectRefGenerator, Wait
from shoal.config import hang_after_s, store_wait_s
from shoal.earlier_calls import EarlierCalls
from shoal.errors import GetTimeoutError
from shoal.node_calls import NodeCalls
from shoal.task.function_table import FunctionTable

if TYPE_CHECKING:
    from pickle import PickleBuffer

    from shoal.hang_watch import Watch
    from shoal.stuck import StuckWaits


def set_hooks(client: Client, calls: NodeCalls, functions: FunctionTable, watch: Watch | None = None) -> None:
    """Give a fresh client its way into Python. `watch`: what a driver's long waits call."""
    stuck: StuckWaits | None = None

    def decode_system_error(code: int, info: dict[str, int]) -> BaseException:
        from shoal.death import system_error

        return system_error(code, info, calls.describe_death, functions.name_of(info["function"]))

    def import_ref(token: bytes) -> ObjectRef[Any]:
        location = calls.import_ref(token)
        return client.adopt(location.index, location.generation)

    def export_ref(ref: ObjectRef[Any]) -> bytes:
        client.share(ref)
        return calls.export_ref(ref)

    def restore(needed: list[tuple[int, int]], ahead: list[tuple[int, int]], timeout_s: float | None) -> None:
        try:
            calls.restore_objects(needed, ahead, timeout_s)
        except TimeoutError:
            raise GetTimeoutError(
                f"the value lies on disk and was not back in memory within {timeout_s:.3g} s"
            ) from None

    def look_into(wait: Wait) -> BaseException | None:
        nonlocal stuck
        if stuck is None:
            from shoal.stuck import StuckWaits

            stuck = StuckWaits(client, calls, watch)
        return stuck(wait)

    client.earlier_calls = EarlierCalls(calls)
    client.stuck_hook = look_into
    client.restore_hook = restore
    client.full_hook = calls.shortage
    client.full_wait_s = store_wait_s()
    client.dumps_arrays = _dumps_arrays
    client.encode_fallback = _encode_fallback
    client.decode_error = _decode_error
    client.decode_system_error = decode_system_error
    client.await_hook = _await_ref
    client.future_hook = _future_of
    client.next_hook = _next_item
    client.import_ref = import_ref
    client.export_ref = export_ref


def hang_watch(client: Client, on_hang: Callable[[float], None]) -> Watch | None:
    """What looks whether anything moves while a driver waits, and else calls `on_hang`; None: nobody wants to know."""
    after_s = hang_after_s()
    found: Watch | None = None

    def look(since_ns: int, *, is_apart: bool = False) -> None:
        nonlocal found
        if found is None:
            from shoal.hang_watch import watch_of

            found = watch_of(client, after_s, on_hang)
        found(since_ns, is_apart=is_apart)

    return look if after_s else None


def _dumps_arrays(value: object, protocol: int, buffer_callback: Callable[[PickleBuffer], object]) -> bytes:
    from shoal.serialization.custom import dumps

    return dumps(value, protocol, buffer_callback)


def _encode_fallback(value: object, error: Exception | None) -> tuple[bytes, list[Any]]:
    from shoal.serialization.fallback import encode_fallback

    return encode_fallback(value, error)


def _decode_error(data: bytes, refs: list[ObjectRef[Any]]) -> BaseException:
    from shoal.serialization.failure import decode_error

    return decode_error(data, refs)


def _await_ref(ref: ObjectRef[Any]) -> Any:
    from shoal.asyncio_bridge import await_ref

    return await_ref(ref)


def _future_of(ref: ObjectRef[Any]) -> Any:
    from shoal.asyncio_bridge import future_of

    return future_of(ref)


def _next_item(stream: ObjectRefGenerator[Any]) -> Any:
    from shoal.asyncio_bridge import next_item

    return next_item(stream)

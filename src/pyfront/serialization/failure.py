# SPDX-License-Identifier: Apache-2.0
"""Errors as payloads: plain text fields beside a best-effort pickle of the exception.

The text always arrives, whatever the exception is made of. The pickle is tried in three forms, each checked by
loading it where it was made: as the exception pickles itself; rebuilt without its constructor (whose signature often
does not match `args`); and rebuilt without the fields that cannot be pickled. Refs in it travel beside the bytes, so
that the error counts as a holder of their objects and nobody else does."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, NamedTuple

import msgspec

from shoal._core._node import ObjectRef, with_refs
from shoal.errors import ObjectStoreFullError, ShoalError, TaskError
from shoal.serialization.by_value import dumps
from shoal.serialization.dual import task_error_like


class Failure(msgspec.Struct, array_like=True, frozen=True):
    """One error as it is sealed in place of a task's returns."""

    is_task_error: bool  # False: `cause` is raised itself, not wrapped
    type_name: str
    message: str
    traceback: str
    task_name: str
    pid: int
    node: str
    cause: bytes  # pickle; empty if the exception does not pickle


class Payload(NamedTuple):
    """An error on its way into the store."""

    data: bytes
    refs: list[ObjectRef[Any]]  # that its pickle names by number


NO_ROOM = Payload(b"", [])
"""The payload of an error that found no room in the store itself: an empty one fits into its entry."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Failure)


def encode_task_error(
    error: BaseException, *, task_name: str, pid: int, node: str, own_frames: int = 0, is_on_its_own: bool = False
) -> Payload:
    """The payload for an exception that user code raised.

    `own_frames`: how many of the outermost frames belong to the worker and are not shown. `is_on_its_own`: the bytes go
    where no refs can go with them; what they refer to is kept until the job ends.
    """
    type_name, message, cause = _origin(error)
    if is_on_its_own and cause.refs:
        first = _load(cause.data, cause.refs)
        cause = Payload(b"", []) if first is None else _pickle(first, _with_exports)
    failure = Failure(
        is_task_error=True,
        type_name=type_name,
        message=message,
        traceback=_traceback(error, own_frames),
        task_name=_encodable(task_name),
        pid=pid,
        node=node,
        cause=cause.data,
    )
    return Payload(_encoder.encode(failure), cause.refs)


def encode_error(error: BaseException) -> Payload:
    """The payload for an error to be raised as it is; one that came from a payload goes on as that payload."""
    payload: Payload | None = error.__dict__.get("_shoal_payload")
    if payload is not None:
        return payload
    cause = _pickle(error)
    return Payload(
        _encoder.encode(Failure(False, _type_name(error), _message(error), "", "", 0, "", cause.data)), cause.refs
    )


def decode_error(data: bytes, refs: Sequence[ObjectRef[Any]] = ()) -> BaseException:
    """The exception to raise for a payload of `encode_task_error` or `encode_error`. Never raises."""
    payload = Payload(data, list(refs))
    if payload == NO_ROOM:
        return ObjectStoreFullError(
            "the task failed, and the object store had no room left even for its error; drop refs that are no longer "
            "needed, or give init() a larger object_store_memory"
        )
    failure = _decoder.decode(data)
    cause = _load(failure.cause, payload.refs)
    if failure.is_task_error:
        error: BaseException = _task_error(failure, cause, payload)
    else:
        error = cause if cause is not None else ShoalError(f"{failure.type_name}: {failure.message}")
    error.__dict__["_shoal_payload"] = payload
    return error


def _task_error(failure: Failure, cause: BaseException | None, payload: Payload) -> TaskError:
    error = task_error_like(cause)
    fields: dict[str, Any] = {
        "cause": cause,
        "type_name": failure.type_name,
        "message": failure.message,
        "remote_traceback": failure.traceback,
        "task_name": failure.task_name,
        "pid": failure.pid,
        "node": failure.node,
        "function_name": failure.task_name,
        "traceback_str": failure.traceback,
        **error.__dict__,
        "_shoal_text": _text(failure),
        "_shoal_reduce": (decode_error, tuple(payload)),
    }
    error.__dict__.update(fields)
    return error


def _text(failure: Failure) -> str:
    headline = f"{failure.type_name}: {failure.message}" if failure.message else failure.type_name
    place = f"pid {failure.pid}, node {failure.node}" if failure.node else f"pid {failure.pid}"
    text = f"{headline}\n\nraised in {failure.task_name} ({place})"
    return f"{text}:\n{failure.traceback.rstrip()}" if failure.traceback else text


def _origin(error: BaseException) -> tuple[str, str, Payload]:
    """Type, message and pickle of what went wrong first: an error that passed through several tasks keeps its class."""
    payload: Payload | None = error.__dict__.get("_shoal_payload")
    if isinstance(error, TaskError) and payload is not None:
        first = _decoder.decode(payload.data)
        return first.type_name, first.message, Payload(first.cause, payload.refs)
    return _type_name(error), _message(error), _pickle(error)


def _type_name(error: BaseException) -> str:
    cls = type(error)
    is_known = cls.__module__ in ("builtins", "__main__")
    return _encodable(cls.__qualname__ if is_known else f"{cls.__module__}.{cls.__qualname__}")


def _message(error: BaseException) -> str:
    try:
        return _encodable(str(error))
    except Exception as broken:
        return f"<its __str__ raised {type(broken).__name__}>"


def _encodable(text: str) -> str:
    """The text with lone surrogates, which have no place in UTF-8, written out."""
    return text.encode("utf-8", "backslashreplace").decode()


def _traceback(error: BaseException, own_frames: int) -> str:
    frames: TracebackType | None = error.__traceback__
    for _ in range(own_frames):
        if frames is not None and frames.tb_next is not None:
            frames = frames.tb_next
    try:
        return _encodable("".join(traceback.format_exception(type(error), error, frames)))
    except Exception as broken:
        return f"<no traceback: formatting it raised {type(broken).__name__}>"


def _with_exports(refs: list[ObjectRef[Any]], function: Callable[..., Any], *args: Any) -> Any:
    return function(*args)  # outside of `with_refs` each ref is exported


def _pickle(error: BaseException, call: Callable[..., Any] = with_refs) -> Payload:
    for form in (_as_itself, _without_constructor, _without_bad_fields):
        refs: list[ObjectRef[Any]] = []
        try:
            data = call(refs, form, error)
            if isinstance(call(refs, pickle.loads, data), BaseException):
                return Payload(data, refs)
        except Exception:
            continue
    return Payload(b"", [])


def _as_itself(error: BaseException) -> bytes:
    return dumps(error)


def _without_constructor(error: BaseException) -> bytes:
    return dumps(_Rebuilt(type(error), error.args, error.__dict__))


def _without_bad_fields(error: BaseException) -> bytes:
    fields = {name: value for name, value in error.__dict__.items() if _is_picklable(value)}
    args = tuple(value if _is_picklable(value) else repr(value) for value in error.args)
    return dumps(_Rebuilt(type(error), args, fields))


class _Rebuilt:
    """Pickles as an exception of `cls` that is made without calling its constructor."""

    def __init__(self, cls: type[BaseException], args: tuple[Any, ...], fields: dict[str, Any]) -> None:
        self.parts = (cls, args, {k: v for k, v in fields.items() if not k.startswith("_shoal_")})

    def __reduce__(self) -> tuple[Any, ...]:
        return rebuild, self.parts


def rebuild(cls: type[BaseException], args: tuple[Any, ...], fields: dict[str, Any]) -> BaseException:
    """An exception of `cls` with these args and fields; its constructor is not called."""
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(fields)
    return error


def _is_picklable(value: object) -> bool:
    try:
        with_refs([], dumps, value)
    except Exception:
        return False
    return True


def _load(data: bytes, refs: list[ObjectRef[Any]]) -> BaseException | None:
    if not data:
        return None
    try:
        error = with_refs(refs, pickle.loads, data)
    except Exception:
        return None
    return error if isinstance(error, BaseException) else None

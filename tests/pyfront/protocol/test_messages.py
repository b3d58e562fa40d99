# SPDX-License-Identifier: Apache-2.0
"""Messages survive the wire; what is not a message of the conversation is refused with one typed error."""

import builtins
import typing

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.protocol import checkpoint, conversation, earlier, groups, messages, metrics, placement, tables
from shoal.protocol.messages import (
    ClientRequest,
    DaemonMessage,
    GetFunction,
    MessageError,
    Ok,
    decode_daemon,
    decode_request,
    encode,
)
from shoal.protocol.orders import ZygoteOrder, ZygoteReport, decode_order, decode_report

CONVERSATIONS = [
    (ClientRequest, decode_request),
    (DaemonMessage, decode_daemon),
    (ZygoteOrder, decode_order),
    (ZygoteReport, decode_report),
]
KINDS = [
    pytest.param(kind, decode, id=kind.__name__) for union, decode in CONVERSATIONS for kind in typing.get_args(union)
]
PLAIN: dict[object, st.SearchStrategy[object]] = {
    int: st.integers(-(2**63), 2**63 - 1),
    float: st.floats(allow_nan=False),
    str: st.text(st.characters(exclude_categories=["Cs"]), max_size=9),
    bytes: st.binary(max_size=9),
    bool: st.booleans(),
    type(None): st.none(),
}


def values(hint: typing.Any) -> st.SearchStrategy[typing.Any]:
    """Values of a field's type, within what msgpack can carry."""
    parts = typing.get_args(hint)
    match typing.get_origin(hint):
        case builtins.list:
            return st.lists(values(parts[0]), max_size=2)
        case builtins.tuple if parts[-1] is ...:
            return st.lists(values(parts[0]), max_size=2).map(tuple)
        case builtins.tuple:
            return st.tuples(*map(values, parts))
        case builtins.dict:
            return st.dictionaries(values(parts[0]), values(parts[1]), max_size=2)
        case None if hint in PLAIN:
            return PLAIN[hint]
        case None if issubclass(hint, tuple):
            return st.builds(hint, **{name: values(part) for name, part in typing.get_type_hints(hint).items()})
        case None:
            return st.builds(hint, **{field.name: values(field.type) for field in msgspec.structs.fields(hint)})
        case _:
            return st.one_of([values(part) for part in parts])


@pytest.mark.parametrize(("kind", "decode"), KINDS)
@settings(max_examples=10)
@given(data=st.data())
def test_every_message_survives_the_wire(kind: type, decode: typing.Any, data: st.DataObject) -> None:
    message = data.draw(values(kind))
    assert decode(encode(message)) == message


@given(st.binary(max_size=100))
def test_random_bytes_are_refused_not_crashed_on(body: bytes) -> None:
    for _, decode in CONVERSATIONS:
        with pytest.raises(MessageError):
            decode(body)


def test_a_message_of_another_conversation_is_refused() -> None:
    with pytest.raises(MessageError):
        decode_request(encode(Ok()))


def test_trailing_bytes_are_refused() -> None:
    with pytest.raises(MessageError):
        decode_request(encode(GetFunction(b"key")) + b"\0")


def test_a_wrong_field_type_is_refused() -> None:
    with pytest.raises(MessageError, match="bytes"):
        decode_request(msgspec.msgpack.encode({"type": "GetFunction", "key": 5}))


def test_every_request_and_reply_of_the_module_is_in_its_conversation() -> None:
    def subclasses(base: type) -> set[type]:
        modules = (messages, checkpoint, earlier, tables, groups, metrics, placement)
        kinds = [kind for module in modules for kind in vars(module).values()]
        return {kind for kind in kinds if isinstance(kind, type) and issubclass(kind, base)} - {base}

    assert subclasses(conversation.Request) == set(typing.get_args(ClientRequest))
    assert subclasses(conversation.Reply) | subclasses(conversation.Push) == set(typing.get_args(DaemonMessage))

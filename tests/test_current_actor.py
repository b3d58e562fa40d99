# SPDX-License-Identifier: Apache-2.0
"""An actor's handle to itself: `get_runtime_context().current_actor`."""

from types import ModuleType
from typing import Any

import pytest

import shoal
from shoal.util import list_named_actors


@shoal.remote(max_concurrency=2)
class Selfish:
    """Has a handle to itself for as long as it is told to."""

    def __init__(self) -> None:
        self.me: Any = shoal.get_runtime_context().current_actor

    def handle(self) -> Any:
        return shoal.get_runtime_context().current_actor

    def kept(self) -> Any:
        return self.me

    def introduce(self, other: Any) -> int:
        answer: int = shoal.get(other.call_back.remote(shoal.get_runtime_context().current_actor))
        return answer

    def forget(self) -> None:
        self.me = None

    def answer(self) -> int:
        return 42


@shoal.remote
class Other:
    """Calls whoever it is given."""

    def call_back(self, whom: Any) -> int:
        answer: int = shoal.get(whom.answer.remote())
        return answer


@pytest.mark.parametrize("name", [None, "selfish"])
def test_it_is_the_handle_that_others_have(shoal_node: ModuleType, name: str | None) -> None:
    actor = Selfish.options(name=name).remote()
    assert shoal.get([actor.handle.remote(), actor.kept.remote()]) == [actor, actor]
    assert shoal.get(actor.introduce.remote(Other.remote())) == 42


def test_an_actor_that_keeps_it_stays_until_it_lets_go(shoal_node: ModuleType) -> None:
    actor = Selfish.options(name="stays").remote()
    shoal.get(actor.answer.remote())
    del actor
    shoal.get(shoal.get_actor("stays").forget.remote())
    while "stays" in list_named_actors():
        pass


def test_nobody_else_has_one(shoal_node: ModuleType) -> None:
    with pytest.raises(RuntimeError, match="no actor does"):
        _ = shoal.get_runtime_context().current_actor

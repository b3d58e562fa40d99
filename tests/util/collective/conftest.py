# SPDX-License-Identifier: Apache-2.0
"""Ranks of groups as actors that run whatever they are given."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import shoal
from shoal.util import collective


@shoal.remote
class Rank:
    """Runs functions in its process."""

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        return function(*args)


class Team:
    """The ranks of one group, in order."""

    def __init__(self, size: int) -> None:
        self.actors: list[Any] = [Rank.remote() for _ in range(size)]
        self.all(lambda rank: collective.init_collective_group(size, rank), each=range(size))

    def start(self, function: Callable[..., Any], *args: Any, each: Any = None) -> list[Any]:
        """A call in every rank; `each`: an argument of its own for each."""
        if each is None:
            return [actor.run.remote(function, *args) for actor in self.actors]
        return [actor.run.remote(function, own, *args) for actor, own in zip(self.actors, each, strict=True)]

    def all(self, function: Callable[..., Any], *args: Any, each: Any = None) -> list[Any]:
        """The results of all."""
        return shoal.get(self.start(function, *args, each=each))

    def errors(self, function: Callable[..., Any], *args: Any, each: Any = None) -> list[BaseException]:
        """The errors that all raised."""
        return [error_of(ref) for ref in self.start(function, *args, each=each)]

    def end(self) -> None:
        for actor in self.actors:
            shoal.kill(actor)


def error_of(ref: Any) -> BaseException:
    """What a call raised."""
    try:
        value = shoal.get(ref)
    except Exception as error:
        return error
    raise AssertionError(f"it returned {value!r}")


@pytest.fixture
def teams(node: None) -> Iterator[Callable[..., Team]]:
    """Makes groups of so many actors."""
    made: list[Team] = []

    def make(size: int) -> Team:
        made.append(Team(size))
        return made[-1]

    yield make
    for team in made:
        team.end()

# SPDX-License-Identifier: Apache-2.0
"""Crews: one for each environment of a job; their tasks wait for it, or are told why there is none."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from shoal._core._node import ERR_ENVIRONMENT
from shoal.node.crews import FIRST_NUMBER, Crews
from shoal.node.deaths import Deaths, client_key
from shoal.node.environments import Prepared
from shoal.protocol.environment import Environment, Install

ENVIRONMENT = Environment(install=Install("pip", "a\n"))


class Scene:
    """Crews with core and environments played by the test."""

    def __init__(self) -> None:
        self.failed: list[tuple[int, int, int]] = []
        self.there: Prepared | None = None
        self.thens: list[Callable[[Prepared], None]] = []
        self.deaths = Deaths()
        core: Any = SimpleNamespace(fail_class=lambda *arguments: self.failed.append(arguments))
        environments: Any = SimpleNamespace(
            prepared=lambda environment, path: self.there,
            prepare=lambda environment, path, then: self.thens.append(then),
        )
        self.crews = Crews(core, environments, self.deaths)

    def job(self, root: int = 1, *, has_environment: bool = False) -> Any:
        hello = SimpleNamespace(sys_path=[], has_environment=has_environment)
        return SimpleNamespace(root=root, hello=hello, driver=self, warn=lambda text: None)


def play(act: Callable[[Scene], None]) -> None:
    async def scenario() -> None:
        act(Scene())

    asyncio.run(scenario())


def test_a_crew_is_one_environment_of_one_job() -> None:
    def act(scene: Scene) -> None:
        one, other = scene.job(1), scene.job(2)
        crew = scene.crews.of(one, ENVIRONMENT)
        assert crew is not None
        assert scene.crews.of(one, None) is None
        assert scene.crews.of(one, Environment(install=Install("pip", "a\n"))) is crew
        numbers = {found.number for job in (one, other) if (found := scene.crews.of(job, ENVIRONMENT))}
        assert numbers == {FIRST_NUMBER, FIRST_NUMBER + 1}
        assert scene.crews.get(crew.number) is crew
        scene.crews.end_job(one)
        assert [found.job for found in scene.crews] == [other]

    play(act)


def test_the_first_crew_of_a_job_with_an_environment_is_its_main_one() -> None:
    def act(scene: Scene) -> None:
        job = scene.job(has_environment=True)
        crews = [scene.crews.of(job, Environment(env_vars={"A": text})) for text in "12"]
        assert [crew.is_main for crew in crews if crew is not None] == [True, False]

    play(act)


def test_an_environment_is_asked_for_once_and_told_of() -> None:
    def act(scene: Scene) -> None:
        crew = scene.crews.of(scene.job(), ENVIRONMENT)
        assert crew is not None
        crew.classes.add(7)
        told: list[str] = []
        assert not scene.crews.is_ready(crew, lambda: told.append("ready"))
        assert not scene.crews.is_ready(crew)
        assert list(scene.crews.waiting()) == [7]
        assert "pip: a" in scene.crews.waiting()[7]
        (then,) = scene.thens
        scene.there = Prepared("/prefix")
        then(scene.there)
        assert told == ["ready"]
        assert scene.crews.waiting() == {}
        assert scene.crews.is_ready(crew)

    play(act)


def test_a_failure_is_told_to_what_waits_and_the_next_task_tries_again() -> None:
    def act(scene: Scene) -> None:
        crew = scene.crews.of(scene.job(), ENVIRONMENT)
        assert crew is not None
        crew.classes |= {7, 8}
        for attempt in (1, 2):
            assert not scene.crews.is_ready(crew)
            scene.thens[-1](Prepared(error=f"no {attempt}", lines=("last",)))
            assert sorted(scene.failed[-2:]) == [(7, ERR_ENVIRONMENT, attempt), (8, ERR_ENVIRONMENT, attempt)]
            death = scene.deaths._known[client_key(0, attempt)]
            assert death.is_setup
            assert death.reason == f"the environment (pip: a) could not be made: no {attempt}"

    play(act)


def test_the_end_of_a_job_is_the_end_of_its_wait() -> None:
    def act(scene: Scene) -> None:
        job = scene.job()
        crew = scene.crews.of(job, ENVIRONMENT)
        assert crew is not None
        crew.classes.add(7)
        scene.crews.is_ready(crew)
        scene.crews.end_job(job)
        scene.thens[0](Prepared(error="no"))
        assert scene.failed == []

    play(act)

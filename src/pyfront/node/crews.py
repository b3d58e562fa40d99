# SPDX-License-Identifier: Apache-2.0
"""Crews: the workers of one job that have one environment. Their numbers are what the core calls them.

A crew's tasks wait while its environment is being made. If that fails they end in the error, and the environment is
tried again when there are further tasks.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count

from shoal._core._node import ERR_ENVIRONMENT, NodeCore
from shoal.node.deaths import Deaths, client_key
from shoal.node.environments import TOLD_AFTER_S, Environments, Prepared
from shoal.node.jobs import Job
from shoal.protocol.environment import Environment
from shoal.protocol.messages import Death

FIRST_NUMBER = 1 << 31  # no root has one as high


class Crew:
    """One environment of one job."""

    def __init__(self, number: int, job: Job, environment: Environment, *, is_main: bool) -> None:
        self.number = number
        self.job = job
        self.environment = environment
        self.is_main = is_main  # of a job that has no workers without an environment: some of these stay
        self.text = environment.describe()
        self.classes: set[int] = set()
        self.asked_s = 0.0  # loop time at which work was last seen to want workers of it
        self.since_s: float | None = None  # loop time at which making the environment began; None: it is not being made


class Crews:
    """The crews of a node."""

    def __init__(self, core: NodeCore, environments: Environments, deaths: Deaths) -> None:
        self._core = core
        self._environments = environments
        self._deaths = deaths
        self._numbers = count(FIRST_NUMBER)
        self._attempts = count(1)
        self._crews: dict[int, Crew] = {}
        self._by_key: dict[tuple[int, str], Crew] = {}

    def of(self, job: Job, environment: Environment | None) -> Crew | None:
        """The crew of an environment, made if there is none yet; None: without an environment there is none."""
        if environment is None:
            return None
        key = (job.root, environment.key())
        crew = self._by_key.get(key)
        if crew is None:
            is_first = not any(other.job is job for other in self)
            is_main = is_first and job.hello.has_environment and job.driver is not None
            crew = self._by_key[key] = Crew(next(self._numbers), job, environment, is_main=is_main)
            self._crews[crew.number] = crew
        return crew

    def get(self, number: int) -> Crew | None:
        """The crew that the core calls so."""
        return self._crews.get(number)

    def is_ready(self, crew: Crew, then: Callable[[], None] | None = None) -> bool:
        """Whether workers can be started now. If not, the environment is being made from now on; `then`: when it is."""
        path = list(map(os.fsdecode, crew.job.hello.sys_path))
        if self._environments.prepared(crew.environment, path) is not None:
            return True
        if crew.since_s is None:
            loop = asyncio.get_running_loop()
            crew.since_s = loop.time()
            loop.call_later(TOLD_AFTER_S, self._tell, crew, crew.since_s)
            self._environments.prepare(crew.environment, path, partial(self._prepared, crew, then))
        return False

    def waiting(self) -> dict[int, str]:
        """Classes whose environment is being made: in words, for whom, and how long so far."""
        now_s = asyncio.get_running_loop().time()
        return {
            class_id: f"It is being made ({crew.text}), for {now_s - crew.since_s:.1f} s so far"
            for crew in self
            if crew.since_s is not None
            for class_id in crew.classes
        }

    def end_job(self, job: Job) -> None:
        """Forget the crews of a job that has ended."""
        for key, crew in list(self._by_key.items()):
            if crew.job is job:
                del self._by_key[key], self._crews[crew.number]

    def __iter__(self) -> Iterator[Crew]:
        return iter(list(self._crews.values()))

    def _prepared(self, crew: Crew, then: Callable[[], None] | None, result: Prepared) -> None:
        crew.since_s = None
        if crew.number not in self._crews:
            return
        if result.error:
            self._fail(crew, result)
        elif then is not None:
            then()

    def _fail(self, crew: Crew, result: Prepared) -> None:
        attempt = next(self._attempts)
        self._deaths.record(setup_failure(crew.environment, result), client_key(0, attempt))
        for class_id in crew.classes:
            self._core.fail_class(class_id, ERR_ENVIRONMENT, attempt)

    def _tell(self, crew: Crew, since_s: float) -> None:
        if crew.since_s == since_s and crew.number in self._crews:
            crew.job.warn(f"Tasks wait for their environment, which is being made: {crew.text}")


def setup_failure(environment: Environment, result: Prepared) -> Death:
    """A failure in the form that those who ask how a process ended get."""
    reason = f"the environment ({environment.describe()}) could not be made: {result.error}"
    return Death(reason=reason, stderr=list(result.lines), is_setup=True)

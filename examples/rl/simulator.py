# SPDX-License-Identifier: Apache-2.0
"""Finds, builds and describes gymnasium simulators."""

from __future__ import annotations

import functools
from typing import Any

import gymnasium

from rl.environment import EnvironmentInfo


class UnsuitableEnvironment(Exception):
    """The environment is unknown, not installed, or of a kind that this example does not handle."""


def build_simulator(env_id: str) -> gymnasium.Env[Any, Any]:
    """A new simulator.

    Raises:
        UnsuitableEnvironment: unknown name, or a simulator whose package is not installed; says what to do.
    """
    try:
        # The checker validates every step of environments under development and would take a third of the time here.
        return gymnasium.make(env_id, disable_env_checker=True)
    except gymnasium.error.DependencyNotInstalled as error:
        # gymnasium's text names the missing package and the command that installs it.
        raise UnsuitableEnvironment(f"{env_id} needs a simulator that is not installed: {error}") from error
    except gymnasium.error.Error as error:
        raise UnsuitableEnvironment(f"{env_id}: {error}") from error


@functools.cache
def shared_simulator(env_id: str) -> gymnasium.Env[Any, Any]:
    """This process's simulator, built once: some take longer to build than to run.

    Tasks stay stateless all the same, because every episode begins with `reset(seed=...)`.
    """
    return build_simulator(env_id)


def describe(env_id: str) -> EnvironmentInfo:
    """The sizes and the published threshold of an environment.

    Raises:
        UnsuitableEnvironment: also if its observations are not a vector of numbers or its actions not simple.
    """
    simulator = build_simulator(env_id)
    observations, actions = simulator.observation_space, simulator.action_space
    simulator.close()
    if not isinstance(observations, gymnasium.spaces.Box) or len(observations.shape) != 1:
        raise UnsuitableEnvironment(f"{env_id} observes {observations}; this example handles vectors of numbers only")
    common: dict[str, Any] = {"env_id": env_id, "observation_size": observations.shape[0]}
    if simulator.spec is not None:
        common |= {"max_steps": simulator.spec.max_episode_steps, "solved_return": simulator.spec.reward_threshold}
    if isinstance(actions, gymnasium.spaces.Discrete):
        return EnvironmentInfo(**common, action_outputs=int(actions.n), is_discrete=True)
    if isinstance(actions, gymnasium.spaces.Box) and len(actions.shape) == 1:
        return EnvironmentInfo(
            **common,
            action_outputs=actions.shape[0],
            is_discrete=False,
            action_low=actions.low,
            action_high=actions.high,
        )
    raise UnsuitableEnvironment(f"{env_id} acts by {actions}; this example handles Discrete and flat Box only")

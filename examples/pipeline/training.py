# SPDX-License-Identifier: Apache-2.0
"""Stages 1 to 3: simulate, train and evaluate, all under way at the same time.

What the seed fixes: each episode's seed follows from its number, batch k plays the policy of update k - 2 however the
tasks are timed, and the trainer gets the episodes of a batch in their order of submission, whichever finished first. So
the learning curve depends only on the seed (and on the numpy build and the processor). Speeds do not.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

import shoal
from pipeline.display import Display
from pipeline.report import TrainingReport
from pipeline.seeds import Purpose, seeds
from pipeline.workers import Trainer, evaluate, simulate
from rl.environment import EnvironmentInfo
from rl.policy import Policy
from rl.trajectory import EpisodeSummary, Trajectory
from shoal import ObjectRef

FIRST_EPISODES = 64  # in each of the first two batches, when nobody knows yet how long an episode lasts
STEPS_PER_BATCH = 2048  # aimed at, by choosing the number of episodes; long episodes may exceed it
EPISODES_PER_BATCH = (8, 128)  # fewest and most
EVALUATION_EPISODES = 100  # what published thresholds are averaged over


class OutOfTime(Exception):
    """The time limit has passed."""


@dataclass
class Batch:
    """The rollouts that make one update, in order of submission."""

    trajectories: list[ObjectRef[Trajectory]]
    summaries: list[ObjectRef[EpisodeSummary]]


class TrainingLoop:
    """Keeps the workers busy with rollouts, feeds the trainer, and evaluates when the policy looks good enough."""

    def __init__(
        self,
        info: EnvironmentInfo,
        solved_return: float,
        seed: int,
        started_s: float,
        time_limit_s: float,
        display: Display,
    ) -> None:
        """`started_s` is when the clock of the whole job began, on `time.perf_counter`."""
        self._solved_return = solved_return
        self._job_started_s = started_s
        self._deadline_s = started_s + time_limit_s
        self._display = display
        self._trainer = Trainer.remote(info, seed)
        self._training_seeds = seeds(seed, Purpose.TRAINING)
        self._evaluation_seeds = seeds(seed, Purpose.EVALUATION)
        self._started_s = time.perf_counter()
        self._recent: deque[float] = deque(maxlen=FIRST_EPISODES)  # returns, for the live line
        self.report = TrainingReport()

    def run(self) -> ObjectRef[Policy]:
        """Train until an evaluation reaches the threshold. Returns the policy that did.

        Raises:
            OutOfTime: `report` says how far it got.
        """
        policy = self._trainer.publish.remote()
        # Two batches are always under way: while the trainer learns from one, the workers play the next.
        ahead = deque([self._submit(policy, FIRST_EPISODES), self._submit(policy, FIRST_EPISODES)])
        try:
            while True:
                batch = ahead.popleft()
                summaries = self._consume(batch)
                policy, _ = self._trainer.update.remote(*batch.trajectories)
                self.report.updates += 1
                self.report.tasks += 1
                ahead.append(self._submit(policy, self._episodes_for(summaries)))
                if self._is_promising() and self._evaluate(policy) >= self._solved_return:
                    break
        finally:
            self.report.loop_seconds = time.perf_counter() - self._started_s
        self.report.is_solved = True
        self.report.seconds_to_solved = time.perf_counter() - self._job_started_s
        # Let what was submitted ahead run out: nobody needs it now, but it would disturb what is measured next.
        leftover = [ref for batch in ahead for ref in batch.summaries]
        shoal.wait(leftover, num_returns=len(leftover))
        return policy

    def _submit(self, policy: ObjectRef[Policy], episodes: int) -> Batch:
        """Submit the rollouts of one batch; they start when the policy exists and a CPU is free."""
        pairs = [simulate.remote(policy, next(self._training_seeds)) for _ in range(episodes)]
        return Batch([trajectory for trajectory, _ in pairs], [summary for _, summary in pairs])

    def _consume(self, batch: Batch) -> list[EpisodeSummary]:
        """Take the summaries of a batch as they finish; returns them in order of submission."""
        steps_before = self.report.returns_at[-1] if self.report.returns_at else 0
        done: dict[ObjectRef[EpisodeSummary], EpisodeSummary] = {}
        for ref, summary in self._as_finished(batch.summaries):
            done[ref] = summary
            self._recent.append(summary.total_reward)
            self._show(f"return {np.mean(self._recent):.1f}")
        summaries = [done[ref] for ref in batch.summaries]
        self.report.returns += [summary.total_reward for summary in summaries]
        self.report.returns_at += (steps_before + np.cumsum([s.steps for s in summaries])).tolist()
        mean_return = float(np.mean([summary.total_reward for summary in summaries]))
        self.report.batches.append((self.report.returns_at[-1], mean_return))
        return summaries

    def _evaluate(self, policy: ObjectRef[Policy]) -> float:
        """The mean return of a policy over fresh episodes."""
        refs = [evaluate.remote(policy, next(self._evaluation_seeds)) for _ in range(EVALUATION_EPISODES)]
        returns: list[float] = []
        for _, summary in self._as_finished(refs):
            returns.append(summary.total_reward)
            self._show(f"evaluating {len(returns)}/{len(refs)}")
        mean_return = float(np.mean(returns))
        self.report.evaluated_return = mean_return
        self.report.evaluations.append((self.report.returns_at[-1], mean_return))
        return mean_return

    def _as_finished(
        self, refs: list[ObjectRef[EpisodeSummary]]
    ) -> Iterator[tuple[ObjectRef[EpisodeSummary], EpisodeSummary]]:
        """Yield each result when it is there, in whatever order that happens."""
        remaining = refs
        while remaining:
            finished, remaining = shoal.wait(remaining, num_returns=1, timeout=1.0)
            if time.perf_counter() > self._deadline_s:
                raise OutOfTime
            for ref, summary in zip(finished, shoal.get(finished), strict=True):
                self.report.steps += summary.steps
                self.report.tasks += 1
                yield ref, summary

    def _episodes_for(self, summaries: list[EpisodeSummary]) -> int:
        """How many episodes make a batch, if they last as long as these did."""
        mean_steps = sum(summary.steps for summary in summaries) / len(summaries)
        fewest, most = EPISODES_PER_BATCH
        return min(max(round(STEPS_PER_BATCH / mean_steps), fewest), most)

    def _is_promising(self) -> bool:
        """Whether exploring already came within a tenth of the threshold: the best actions are likely to reach it."""
        _, mean_return = self.report.batches[-1]
        return mean_return >= self._solved_return - 0.1 * abs(self._solved_return)

    def _show(self, line: str) -> None:
        """The bar goes from the return of the first batch to the threshold."""
        seconds = time.perf_counter() - self._started_s
        first = self.report.batches[0][1] if self.report.batches else self._recent[0]
        span = max(self._solved_return - first, 1e-9)
        rates = f"{self.report.steps / seconds:6,.0f} steps/s {self.report.tasks / seconds:5,.0f} tasks/s"
        fraction = (float(np.mean(self._recent)) - first) / span
        self._display.show("training", fraction, f"{line:<14} {rates}")

# SPDX-License-Identifier: Apache-2.0
"""Stage 4: the trained policy in service, under the load of many clients."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass

import numpy as np

import shoal
from pipeline.display import Display
from pipeline.report import ServingReport
from pipeline.seeds import Purpose, seeds
from pipeline.workers import Client, PolicyServer, ServedEpisode
from rl.environment import EnvironmentInfo
from rl.policy import Policy
from shoal import ObjectRef

SECONDS_BETWEEN_LOOKS = 0.2


@dataclass(frozen=True)
class Load:
    """How much is asked of the server, and how it may gather requests."""

    clients: int = 4  # processes
    episodes: int = 64  # all under way at once, spread over the clients: so many requests may be open together
    max_batch: int = 32
    max_delay_s: float = 0.002


def serve(policy: ObjectRef[Policy], info: EnvironmentInfo, seed: int, load: Load, display: Display) -> ServingReport:
    """Play episodes in closed loop with the served policy, and report speed, latency and returns."""
    server = PolicyServer.remote(policy, load.max_batch, load.max_delay_s)
    clients = [Client.remote() for _ in range(load.clients)]
    shoal.get([server.counts.remote(), *(client.warm_up.remote(info.env_id) for client in clients)])

    started_s = time.perf_counter()
    players = itertools.cycle(clients)
    episode_seeds = itertools.islice(seeds(seed, Purpose.SERVING), load.episodes)
    remaining: list[ObjectRef[ServedEpisode]] = [
        next(players).play.remote(server, info.env_id, episode_seed) for episode_seed in episode_seeds
    ]
    episodes: list[ServedEpisode] = []
    while remaining:
        finished, remaining = shoal.wait(remaining, num_returns=len(remaining), timeout=SECONDS_BETWEEN_LOOKS)
        episodes += shoal.get(finished)
        requests, _ = shoal.get(server.counts.remote())
        rate = requests / (time.perf_counter() - started_s)
        line = f"{requests:,} requests  {rate:,.0f}/s  {len(episodes)}/{load.episodes} episodes"
        # Episodes that began together tend to end together, so the bar follows the requests where it can.
        longest = info.max_steps or requests
        display.show("serving", max(len(episodes), requests / longest) / load.episodes, line)
    seconds = time.perf_counter() - started_s

    requests, batches = shoal.get(server.counts.remote())
    latencies_ms = 1e3 * np.concatenate([episode.latencies_s for episode in episodes])
    return ServingReport(
        episodes=len(episodes),
        requests=requests,
        seconds=seconds,
        p50_ms=float(np.percentile(latencies_ms, 50)),
        p99_ms=float(np.percentile(latencies_ms, 99)),
        mean_batch=requests / batches,
        mean_return=float(np.mean([episode.total_reward for episode in episodes])),
    )

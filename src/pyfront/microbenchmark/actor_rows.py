# SPDX-License-Identifier: Apache-2.0
"""Rows about actors, plain and `async def`: from one client or several to one actor or several."""

from __future__ import annotations

from typing import Any

from . import workload
from .bench import Bench
from .row import Measurement, Row

CALLERS = 4


def calls_sync(bench: Bench) -> Measurement:
    """One call at a time to one actor."""
    return _sync(bench, bench.actor(workload.batch_actor(bench.api)))


def calls_async(bench: Bench) -> Measurement:
    """1,000 calls in flight to one actor."""
    return _async(bench, bench.actor(workload.batch_actor(bench.api)))


def calls_concurrent(bench: Bench) -> Measurement:
    """1,000 calls in flight to one actor with 16 threads."""
    return _async(bench, bench.actor(workload.batch_actor(bench.api), max_concurrency=16))


def one_to_n_calls_async(bench: Bench) -> Measurement:
    """One actor with 5,000 calls in flight to each of n others, n being half of the CPUs."""
    return _one_to_n(bench, workload.batch_actor(bench.api))


def n_to_n_calls_async(bench: Bench) -> Measurement:
    """Four tasks, each with 5,000 calls in flight over n actors."""
    return _n_to_n(bench, workload.batch_actor(bench.api))


def n_to_n_calls_with_arg_async(bench: Bench) -> Measurement:
    """n actors, each with 1,000 calls in flight to an actor of its own, with a reference as the argument."""
    api = bench.api
    client_class = workload.client_actor(api)
    clients = [bench.actor(client_class, [server]) for server in _servers(bench, workload.batch_actor(api))]
    return bench.sized_rate(
        lambda n: api.get([client.small_value_batch_arg.remote(n) for client in clients]),
        1000,
        items_per_n=len(clients),
    )


def async_calls_sync(bench: Bench) -> Measurement:
    """One call at a time to one async actor."""
    return _sync(bench, bench.actor(workload.async_actor(bench.api)))


def async_calls_async(bench: Bench) -> Measurement:
    """1,000 calls in flight to one async actor."""
    return _async(bench, bench.actor(workload.async_actor(bench.api)))


def async_calls_with_args_async(bench: Bench) -> Measurement:
    """1,000 calls in flight to one async actor, each with an integer argument."""
    api = bench.api
    actor = bench.actor(workload.async_actor(api))
    api.get(actor.small_value.remote())
    return bench.rate(lambda: api.get([actor.small_value_with_arg.remote(i) for i in range(1000)]), items=1000)


def one_to_n_async_calls_async(bench: Bench) -> Measurement:
    """One actor with 5,000 calls in flight to each of n async actors."""
    return _one_to_n(bench, workload.async_actor(bench.api))


def n_to_n_async_calls_async(bench: Bench) -> Measurement:
    """Four tasks, each with 5,000 calls in flight over n async actors."""
    return _n_to_n(bench, workload.async_actor(bench.api))


def creation_rate(bench: Bench) -> Measurement:
    """Actors created until each has answered its first call, then killed, per second: two for each CPU at a time."""
    api = bench.api
    actor_class = workload.batch_actor(api)

    def create(n: int) -> None:
        actors = [actor_class.remote() for _ in range(n)]
        api.get([actor.small_value.remote() for actor in actors])
        for actor in actors:
            api.kill(actor)

    n = bench.n_cpus * 2
    create(1)
    return bench.rate(lambda: create(n), items=n)


def _sync(bench: Bench, actor: Any) -> Measurement:
    api = bench.api
    api.get(actor.small_value.remote())  # its start is another row
    return bench.rate(lambda: api.get(actor.small_value.remote()))


def _async(bench: Bench, actor: Any) -> Measurement:
    api = bench.api
    api.get(actor.small_value.remote())
    return bench.rate(lambda: api.get([actor.small_value.remote() for _ in range(1000)]), items=1000)


def _one_to_n(bench: Bench, actor_class: Any) -> Measurement:
    api = bench.api
    servers = _servers(bench, actor_class)
    client = bench.actor(workload.client_actor(api), servers)
    return bench.sized_rate(lambda n: api.get(client.small_value_batch.remote(n)), 5000, items_per_n=len(servers))


def _n_to_n(bench: Bench, actor_class: Any) -> Measurement:
    api = bench.api
    servers = _servers(bench, actor_class)
    caller = workload.actor_caller(api)
    return bench.sized_rate(
        lambda n: api.get([caller.remote(servers, n) for _ in range(CALLERS)]), 5000, items_per_n=CALLERS
    )


def _servers(bench: Bench, actor_class: Any) -> list[Any]:
    return [bench.actor(actor_class) for _ in range(max(1, bench.n_cpus // 2))]


RAY_ACTOR_ROWS = (
    Row("1:1 actor calls sync", "calls/s", calls_sync),
    Row("1:1 actor calls async", "calls/s", calls_async),
    Row("1:1 actor calls concurrent", "calls/s", calls_concurrent),
    Row("1:n actor calls async", "calls/s", one_to_n_calls_async),
    Row("n:n actor calls async", "calls/s", n_to_n_calls_async),
    Row("n:n actor calls with arg async", "calls/s", n_to_n_calls_with_arg_async),
    Row("1:1 async-actor calls sync", "calls/s", async_calls_sync),
    Row("1:1 async-actor calls async", "calls/s", async_calls_async),
    Row("1:1 async-actor calls with args async", "calls/s", async_calls_with_args_async),
    Row("1:n async-actor calls async", "calls/s", one_to_n_async_calls_async),
    Row("n:n async-actor calls async", "calls/s", n_to_n_async_calls_async),
)

EXTRA_ACTOR_ROWS = (Row("actor creation", "actors/s", creation_rate),)

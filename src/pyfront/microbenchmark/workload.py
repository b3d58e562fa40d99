# SPDX-License-Identifier: Apache-2.0
"""The tasks and actors that the rows call, made for the system under test.

They are defined inside functions, so every system ships them to its workers by value: a worker needs neither this
package nor its path.
"""

from __future__ import annotations

from typing import Any


def small_value(api: Any) -> Any:
    """A task that returns two bytes."""

    def small_value() -> bytes:
        return b"ok"

    return api.remote(small_value)


def small_value_batch(api: Any) -> Any:
    """A task that starts `n` small tasks and waits for them: one more client."""
    task = small_value(api)

    def small_value_batch(n: int) -> int:
        api.get([task.remote() for _ in range(n)])
        return n

    return api.remote(small_value_batch)


def batch_actor(api: Any) -> Any:
    """An actor class that needs no CPU: it answers small calls, and starts batches of small tasks."""
    task = small_value(api)

    class Actor:
        def small_value(self) -> bytes:
            return b"ok"

        def small_value_arg(self, x: Any) -> bytes:
            return b"ok"

        def small_value_batch(self, n: int) -> int:
            api.get([task.remote() for _ in range(n)])
            return n

    return api.remote(num_cpus=0)(Actor)


def async_actor(api: Any) -> Any:
    """An actor class whose methods are coroutines."""

    class AsyncActor:
        async def small_value(self) -> bytes:
            return b"ok"

        async def small_value_with_arg(self, x: Any) -> bytes:
            return b"ok"

    return api.remote(AsyncActor)


def client_actor(api: Any) -> Any:
    """An actor class that calls other actors: one client of `n` servers."""

    class Client:
        def __init__(self, servers: list[Any]) -> None:
            self.servers = servers

        def small_value_batch(self, n: int) -> int:
            api.get([server.small_value.remote() for server in self.servers for _ in range(n)])
            return n

        def small_value_batch_arg(self, n: int) -> int:
            x = api.put(0)
            api.get([server.small_value_arg.remote(x) for server in self.servers for _ in range(n)])
            return n

    return api.remote(num_cpus=0)(Client)


def actor_caller(api: Any) -> Any:
    """A task that makes `n` calls over the actors it is given."""

    def call_actors(actors: list[Any], n: int) -> int:
        api.get([actors[i % len(actors)].small_value.remote() for i in range(n)])
        return n

    return api.remote(call_actors)

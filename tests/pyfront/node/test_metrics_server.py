# SPDX-License-Identifier: Apache-2.0
"""The endpoint: on loopback alone, for requests that name it, and for nothing but metrics."""

import asyncio
import http.client
from collections.abc import Awaitable, Callable

import pytest
from tests.leftovers import threads, threads_left

from shoal.node.metrics_server import MetricsServer

LIMIT_S = 60.0


def ask(port: int, path: str = "/metrics", host: str | None = None, method: str = "GET") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(method, path, headers={} if host is None else {"Host": host})
    response = connection.getresponse()
    answer = response.status, response.read().decode()
    connection.close()
    return answer


def served(check: Callable[[MetricsServer], None], read: Callable[[], Awaitable[bytes]]) -> None:
    async def run() -> None:
        server = MetricsServer(0)
        server.start(read)
        try:
            await asyncio.to_thread(check, server)
        finally:
            server.close()

    before = threads()
    asyncio.run(run())
    assert threads_left(before, LIMIT_S) == []


async def text() -> bytes:
    return b"a 1.0\n"


def test_it_listens_on_loopback_and_answers_what_is_read_on_the_loop() -> None:
    def check(server: MetricsServer) -> None:
        assert server._http.server_address[0] == "127.0.0.1"
        assert ask(server.port) == (200, "a 1.0\n")
        assert ask(server.port, "/metrics?name=a", "localhost:1234") == (200, "a 1.0\n")

    served(check, text)


def test_other_names_paths_and_methods_are_refused() -> None:
    def check(server: MetricsServer) -> None:
        assert ask(server.port, host="evil.example:80")[0] == 403
        assert ask(server.port, host="")[0] == 403
        assert ask(server.port, "/etc/passwd")[0] == 404
        assert ask(server.port, method="POST")[0] == 501

    served(check, text)


def test_a_read_that_fails_is_an_answer_too() -> None:
    async def fail() -> bytes:
        raise OSError("out of order")

    served(lambda server: ask(server.port)[0] == 503 or pytest.fail("no 503"), fail)


def test_a_port_that_is_taken_is_an_error() -> None:
    first = MetricsServer(0)
    try:
        with pytest.raises(OSError, match="in use"):
            MetricsServer(first.port)
    finally:
        first.close()

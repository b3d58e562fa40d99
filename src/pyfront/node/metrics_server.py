# SPDX-License-Identifier: Apache-2.0
"""The HTTP endpoint that Prometheus scrapes: on the loopback interface alone, and only when `init` was asked for it.

It answers `GET /metrics`, and nothing that a web page of another origin could have asked: the Host header has to name
this machine's loopback. Threads of its own read and write the sockets, so a slow reader holds nothing up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from shoal.node.exposition import CONTENT_TYPE

HOST = "127.0.0.1"
HOSTS = ("127.0.0.1", "localhost")  # that a request may name
ANSWER_TIMEOUT_S = 10.0
IDLE_TIMEOUT_S = 30.0  # of a connection that sends nothing


class MetricsServer:
    """One endpoint. Owns its socket and its threads."""

    def __init__(self, port: int) -> None:
        """Take the port, 0: any that is free. Raises OSError."""
        self._answer: Callable[[], bytes] | None = None
        server = self

        class Handler(BaseHTTPRequestHandler):
            timeout = IDLE_TIMEOUT_S
            server_version, sys_version = "shoal", ""

            def do_GET(self) -> None:
                server._get(self)

            def log_message(self, format: str, *args: Any) -> None:
                """Scrapes are not worth a line each."""

        self._http = _Server((HOST, port), Handler)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._http.server_address[1])

    def start(self, read: Callable[[], Awaitable[bytes]]) -> None:
        """Serve from now on what `read` gives; it runs on the loop that calls this."""
        loop = asyncio.get_running_loop()

        async def gather() -> bytes:
            return await read()

        self._answer = lambda: asyncio.run_coroutine_threadsafe(gather(), loop).result(ANSWER_TIMEOUT_S)
        threading.Thread(target=self._http.serve_forever, name="shoal-metrics", daemon=True).start()

    def close(self) -> None:
        """Let go of the port, soon. Requests in hand are dropped."""
        if self._answer is None:
            self._http.server_close()
        else:  # which takes half a second that nobody should wait for
            threading.Thread(target=self._end, name="shoal-metrics-end", daemon=True).start()

    def _end(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def _get(self, request: BaseHTTPRequestHandler) -> None:
        host = request.headers.get("Host", "").rpartition(":")[0] or request.headers.get("Host", "")
        if host not in HOSTS:
            request.send_error(HTTPStatus.FORBIDDEN, "only this machine's loopback may be named")
            return
        if request.path.partition("?")[0] not in ("/", "/metrics"):
            request.send_error(HTTPStatus.NOT_FOUND, "only /metrics is here")
            return
        assert self._answer is not None
        try:
            body = self._answer()
        except Exception as error:  # a defect, or a node that is stopping: Prometheus shows it
            request.send_error(HTTPStatus.SERVICE_UNAVAILABLE, f"{type(error).__name__}: {error}")
            return
        request.send_response(HTTPStatus.OK)
        request.send_header("Content-Type", CONTENT_TYPE)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever asked has hung up."""

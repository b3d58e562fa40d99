# SPDX-License-Identifier: Apache-2.0
"""What `init` returns: where this process is connected to, and a way to end that by leaving a `with` block."""

from __future__ import annotations

from types import TracebackType

from shoal import driver
from shoal.runtime import Runtime


class Context:
    """A connection, described."""

    def __init__(self, connection: Runtime) -> None:
        self.address = connection.config.runtime_dir
        """Folder of the node; `init(address=...)` of another process takes it."""
        self.session = connection.session
        self.node_id = connection.node_id
        self.namespace = connection.namespace
        self.job_id = f"{connection.root:08x}"
        self.resources = dict(connection.config.resources)
        port = connection.config.metrics_port
        self.metrics_url = f"http://127.0.0.1:{port}/metrics" if port else None
        """What Prometheus scrapes; None unless `init(metrics_export_port=...)` asked for it."""

    def disconnect(self) -> None:
        """The same as `shoal.shutdown()`."""
        driver.disconnect()

    def __enter__(self) -> Context:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.disconnect()

    def __repr__(self) -> str:
        return f"<connected to Shoal node {self.node_id} at {self.address}>"

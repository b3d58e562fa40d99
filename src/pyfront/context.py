# SPDX-License-Identifier: Apache-2.0
"""What `init` returns: where this process is connected to, and a way to end that by leaving a `with` block."""

from __future__ import annotations

from types import TracebackType

from shoal import driver
from shoal.runtime import Runtime

__all__ = ["Context"]


class Context:
    """A connection, described. Made by `init`; leaving a `with` block over it ends the connection."""

    def __init__(self, connection: Runtime) -> None:
        self.address = connection.config.runtime_dir
        """Folder of the node; `init(address=...)` of another process takes it."""
        self.session = connection.session
        """Name of the node's run, which no other has."""
        self.node_id = connection.node_id
        """As `shoal.nodes()` gives it."""
        self.namespace = connection.namespace
        """Of the named actors of this driver."""
        self.job_id = f"{connection.root:08x}"
        """As `get_runtime_context().get_job_id()` gives it."""
        self.resources = dict(connection.config.resources)
        """What the node has, by name."""
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

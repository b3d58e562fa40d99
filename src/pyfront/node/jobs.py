# SPDX-License-Identifier: Apache-2.0
"""What belongs to one root, a driver or a detached actor: its number, its functions, its classes, the objects it let
out, its output.

A detached actor is begun by another job, which it outlives. While that one's driver is there, it prints for both.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from shoal.node.connections import Connection
from shoal.node.log_file import LogFile
from shoal.node.logs import LogSink
from shoal.node.output_tail import OutputTail
from shoal.node.refusal import Refusal
from shoal.protocol.messages import Hello, LogLine, LogLines, Push, Refused, Warn


class Job:
    """One root's share of the node. `root` is what the core calls it; numbers are never reused."""

    def __init__(
        self,
        root: int,
        driver: Connection | None,
        hello: Hello,
        is_starter: bool,
        output: OutputTail,
        log_file: LogFile | None = None,
    ) -> None:
        self.root = root
        self.driver = driver  # None: it is a detached actor's
        self.printer = driver  # who shows what it prints; None: nobody any more
        self.hello = hello
        self.is_starter = is_starter
        self.started_s = time.time()
        self.namespace = hello.namespace or f"job-{root}"
        self.functions: dict[bytes, tuple[bytes, str]] = {}  # key -> (blob, name)
        self.classes: dict[int, dict[str, float]] = {}  # class id -> resources demanded
        self.exports: dict[bytes, tuple[int, int]] = {}  # object id -> entry
        self._logs = LogSink(self._deliver)
        self._output = output
        self._log_file = log_file

    def print(self, lines: list[LogLine]) -> None:
        """Send lines to the driver's terminal, soon, and keep them for those who ask."""
        self._logs.add(lines)
        self._output.add(lines)
        if self._log_file is not None:
            self._log_file.write(lines)

    def warn(self, text: str) -> None:
        """Tell the driver's user."""
        self._push(Warn(text))

    def flush(self) -> None:
        """Send what `print` still holds back."""
        self._logs.finish()

    def _deliver(self, batch: LogLines) -> bool:
        return self.printer is None or (not self.printer.is_slow and self._push(batch))

    def _push(self, message: Push) -> bool:
        if self.printer is not None:
            self.printer.push(message)
        return True


class Jobs:
    """The jobs that run now, by root."""

    def __init__(self, drop: Callable[[int, int], None], output: OutputTail, log_file: LogFile | None = None) -> None:
        self._jobs: dict[int, Job] = {}
        self._left: dict[bytes, tuple[bytes, str]] = {}  # functions of ended jobs, which a detached actor may have
        self._last_root = 0
        self._drop = drop
        self._output = output
        self._log_file = log_file

    def add(self, driver: Connection, hello: Hello, is_starter: bool) -> Job:
        """A new job."""
        return self._add(driver, hello, is_starter)

    def add_detached(self, creator: Job) -> Job:
        """The job of a detached actor that `creator` makes."""
        job = self._add(None, creator.hello, False)
        job.namespace = creator.namespace
        job.printer = creator.printer
        job.functions.update(creator.functions)
        return job

    def remove(self, job: Job) -> bool:
        """Forget a job and let go of what it exported. False if that was done before."""
        if self._jobs.pop(job.root, None) is None:
            return False
        for entry in job.exports.values():
            self._drop(*entry)
        detached = [other for other in self if other.driver is None]
        if not detached:
            self._left.clear()
        elif job.driver is not None:
            self._left.update(job.functions)
        for other in detached:
            if other.printer is job.driver:
                other.flush()
                other.printer = None
        return True

    def function(self, job: Job, key: bytes) -> tuple[bytes, str] | None:
        """An exported function's record and name: calls and values bring keys from one job to another."""
        holders = [job.functions, *(other.functions for other in self), self._left]
        return next((functions[key] for functions in holders if key in functions), None)

    def get(self, root: int) -> Job | None:
        return self._jobs.get(root)

    def of_class(self, class_id: int) -> Job | None:
        """The job that defined a class."""
        return next((job for job in self if class_id in job.classes), None)

    def exported(self, object_id: bytes) -> tuple[int, int]:
        """The entry of an exported object. Raises Refusal."""
        for job in self:
            if object_id in job.exports:
                return job.exports[object_id]
        raise Refusal(
            Refused.NOT_FOUND,
            f"object {object_id.hex()} is not known here: the job that pickled its reference has ended",
        )

    def __iter__(self) -> Iterator[Job]:
        return iter(list(self._jobs.values()))

    def _add(self, driver: Connection | None, hello: Hello, is_starter: bool) -> Job:
        self._last_root += 1
        job = self._jobs[self._last_root] = Job(
            self._last_root, driver, hello, is_starter, self._output, self._log_file
        )
        return job

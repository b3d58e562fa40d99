# SPDX-License-Identifier: Apache-2.0
"""Tells the daemon what this process has counted, seldom: at the first update, then at most once a second while there
is news, when the daemon asks because somebody reads, and at the process's end. So who reads sees every update that was
made before, of all processes that can answer.

So a process that is killed loses the updates of its last second at most, and nothing that was reported. While the
process has a connection, from its first update on, a thread sleeps while nothing changes; an update of a metric wakes
it if it was told everything, and otherwise does no more than set the number. What is counted without a connection is
told when there is one."""

from __future__ import annotations

import atexit
import os
import threading
import time
from contextlib import suppress

from shoal import runtime
from shoal.errors import ShoalError
from shoal.link import Link, RequestRefused
from shoal.protocol.metrics import ReportMetrics
from shoal.runtime import Runtime
from shoal.util.metrics.values import Values

INTERVAL_S = 1.0
END_TIMEOUT_S = 1.0
FIRST_TIMEOUT_S = 0.5


class Reporter:
    """One process's reports."""

    def __init__(self) -> None:
        self.values = Values(self._changed)
        self._is_at_exit = False  # whether it is called at the process's end
        self._reset()

    def _reset(self) -> None:
        self._has_news = False  # not yet reported
        self._news = threading.Event()
        self._hurry = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()  # of starting the thread, and of who was told what
        self._told: Link | None = None  # who has been told everything up to the last report
        self._known_to: Runtime | None = None  # whose daemon knows that this process counts
        self._is_known = threading.Event()

    def forked(self) -> None:
        """In a forked child, which has counted nothing yet."""
        self.values.clear()
        self._reset()

    def report_now(self) -> None:
        """Report what has not been, and wait until the daemon has it, for a second at most. At the end of a process."""
        here = runtime.connection
        if here is None or not self._has_news:
            return
        with suppress(ShoalError, RequestRefused, TimeoutError, OSError):
            here.link.request(self._message(here), END_TIMEOUT_S)

    def _leave(self) -> None:
        """A driver disconnects: report, and keep nothing of the connection, or the node's memory would stay mapped."""
        self.report_now()
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:  # first: it may be about to note whom it has told
            self._news.set()
            self._hurry.set()
            thread.join(END_TIMEOUT_S)
        with self._lock:
            if self._told is not None:
                self._told.on_collect = None
            self._told = self._known_to = None

    def _leave_with(self, here: Runtime) -> None:
        if self._leave not in here.before_end:
            here.before_end.append(self._leave)

    def connected(self) -> None:
        """This process has got a connection: have it told what was counted before."""
        if self._has_news:
            self._wake()

    def _changed(self) -> None:
        if not self._has_news or runtime.connection is not self._known_to:
            self._has_news = True
            if runtime.connection is None:
                return  # after `_has_news`: either this or `connected` sees the other
            self._wake()
            if runtime.connection is not self._known_to:
                self._be_known()

    def _wake(self) -> None:
        self._news.set()
        if self._thread is None:
            self._start()

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="shoal-metrics", daemon=True)
                try:
                    self._thread.start()
                except RuntimeError:  # there can be no more threads: the next update tries again
                    self._thread = None
                    self._has_news = False
                    return
                here = runtime.connection
                if here is not None:
                    self._leave_with(here)
                if not self._is_at_exit:
                    self._is_at_exit = True
                    atexit.register(self.report_now)

    def _be_known(self) -> None:
        """Once in a connection's life: whoever reads from now on finds this process among those that are asked."""
        here, until_s = runtime.connection, time.monotonic() + FIRST_TIMEOUT_S
        while here is not None and self._known_to is not here and self._thread is not None:
            self._is_known.clear()
            self._hurry.set()
            if not self._is_known.wait(max(0.0, until_s - time.monotonic())):
                return

    def _work(self) -> None:
        while True:
            self._news.wait()
            if self._thread is not threading.current_thread():
                return  # the connection is gone, and perhaps there is another thread for the next one
            self._news.clear()
            self._hurry.clear()
            self._report()
            self._hurry.wait(INTERVAL_S)

    def _report(self) -> None:
        here = runtime.connection
        if here is not None:
            here.link.tell(self._message(here))
            with self._lock:
                if self._thread is threading.current_thread():  # else the driver has disconnected meanwhile
                    self._known_to = here
            self._is_known.set()

    def _message(self, here: Runtime, number: int = 0) -> ReportMetrics:
        with self._lock:
            is_new = self._told is not here.link
            if is_new:
                self._told = here.link
                here.link.on_collect = lambda asked: here.link.tell(self._message(here, asked))
                self._leave_with(here)
            self._has_news = False  # before the look: what changes from here on is reported next
            return ReportMetrics(self.values.take(everything=is_new), number)


reporter = Reporter()
runtime.on_connect.append(reporter.connected)
os.register_at_fork(after_in_child=reporter.forked)

# SPDX-License-Identifier: Apache-2.0
"""The zygote's rehearsal leaves nothing behind but what the interpreter learned."""

import os
import sys
import threading

import pytest

from shoal import link, runtime
from shoal.node.rehearsal import rehearse
from shoal.worker.streams import open_streams


def test_a_rehearsal_leaves_no_connection_no_thread_and_no_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdout", "stderr", "__stdout__", "__stderr__"):
        monkeypatch.setattr(sys, name, getattr(sys, name))
    open_streams()
    rehearse()  # what is imported and opened once
    before = sorted(os.listdir("/proc/self/fd")), threading.active_count()
    rehearse()
    assert (sorted(os.listdir("/proc/self/fd")), threading.active_count()) == before
    assert runtime.connection is None
    assert not link._links

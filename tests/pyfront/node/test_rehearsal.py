# SPDX-License-Identifier: Apache-2.0
"""The zygote's rehearsal leaves nothing behind but what the interpreter learned."""

import subprocess
import sys

# In a process of its own: it redirects the streams, and what other tests have begun may end meanwhile.
PROGRAM = """
import os, threading
from shoal import link, runtime
from shoal.node.rehearsal import rehearse
from shoal.worker.streams import open_streams

def descriptors():
    found = {}
    for name in os.listdir("/proc/self/fd"):
        if os.path.lexists(f"/proc/self/fd/{name}"):
            found[name] = os.readlink(f"/proc/self/fd/{name}")
    return found

told = os.dup(1)
open_streams()
rehearse()  # what is imported and opened once
before = descriptors(), threading.enumerate(), len(os.listdir("/proc/self/task"))
rehearse()
after = descriptors(), threading.enumerate(), len(os.listdir("/proc/self/task"))
assert after == before, (before, after)
assert runtime.connection is None
assert not link._links
os.write(told, b"as before")
"""


def test_a_rehearsal_leaves_no_connection_no_thread_and_no_descriptor() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "as before"), done.stderr

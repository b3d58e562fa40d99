# SPDX-License-Identifier: Apache-2.0
"""Ending everything below a process, with real ones."""

import subprocess
import sys

# The first looks at /proc find nothing, as if each process had changed its parent while it was looked for.
BLIND = """
import os, signal
from shoal.node import processes

processes.adopt_orphans()
read_fd, write_fd = os.pipe()
if os.fork() == 0:
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if os.fork() == 0:
        os.setsid()
    os.write(write_fd, b"x")
    while True:
        signal.pause()
os.close(write_fd)
assert os.read(read_fd, 1) and os.read(read_fd, 1)
looks = [[], [], []]
look = processes.descendants
processes.descendants = lambda root: looks.pop() if looks else look(root)
assert processes.end_descendants(0.0, 60.0)
assert os.read(read_fd, 1) == b""  # nobody holds the other end
"""


def test_a_look_that_misses_somebody_ends_nothing_early() -> None:
    done = subprocess.run([sys.executable, "-c", BLIND], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr

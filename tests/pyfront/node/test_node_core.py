# SPDX-License-Identifier: Apache-2.0
"""What the daemon reads of processes from shared memory, which any of them may have written over."""

import mmap
import os
import struct

from shoal._core._node import ROLE_ACTOR, NodeCore

ROOT = 7
SEARCHED_BYTES = 1 << 20  # the first client's record lies near the start


def test_process_with_an_odd_class_is_told_all_the_same() -> None:
    core = NodeCore(cpus=1, store_bytes=1 << 20, small=True)
    classes = [core.define_actor(root=ROOT, cpu_milli=0, demands={}) for _ in range(78)]
    pid = 0x5AFEC0DE  # nobody's: without a pidfd it is not looked at
    index, epoch = core.register(pid, -1, ROLE_ACTOR, classes[-1], ROOT)
    with mmap.mmap(os.dup(core.segment_fd), SEARCHED_BYTES) as segment:
        record = segment.find(struct.pack("=I", pid))
        assert record >= 0
        where = segment.find(struct.pack("=I", classes[-1]), record)
        assert 0 < where - record < 64, "the class is stored beside the pid"
        segment[where : where + 4] = b"\xff" * 4
        (found,) = core.running()
    assert (found["index"], found["epoch"], found["pid"], found["role"]) == (index, epoch, pid, ROLE_ACTOR)
    assert found["restarts"] == 0

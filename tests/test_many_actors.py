# SPDX-License-Identifier: Apache-2.0
"""A thousand actors live on one node at the same time."""

import os
import resource
import subprocess
import sys

import pytest

N_ACTORS = 1000
PROGRAM = f"""
import os
import shoal
from shoal.microbenchmark.memory import private_bytes

shoal.init(num_cpus=2)

@shoal.remote(num_cpus=0)
class Number:
    def __init__(self, number):
        self.number = number

    def get(self):
        return self.number, os.getpid()

numbers = [Number.remote(i) for i in range({N_ACTORS})]
answers = shoal.get([number.get.remote() for number in numbers])
assert [value for value, _ in answers] == list(range({N_ACTORS}))
pids = [pid for _, pid in answers]
assert len(set(pids)) == {N_ACTORS}
assert max(private_bytes(pid) for pid in pids[::50]) < 10e6
assert shoal.get([number.get.remote() for number in reversed(numbers)]) == answers[::-1]
shoal.shutdown()
assert not any(os.path.exists(f"/proc/{{pid}}") for pid in pids)
print("all answered")
"""


@pytest.mark.slow
def test_a_thousand_actors_live_and_answer_under_the_usual_limit_of_descriptors() -> None:
    def limit() -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))

    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
        preexec_fn=limit,
        env=os.environ,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("all answered\n", "", 0)

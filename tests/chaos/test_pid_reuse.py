# SPDX-License-Identifier: Apache-2.0
"""Numbers of processes come again at once: nobody is taken for who had the number before.

In a pid namespace of the test's own, where the next number may be set; skipped where no such namespace may be made.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .limits import within
from .marks import Mark

LIMIT_S = 200.0
NAMESPACE = ["unshare", "--pid", "--mount", "--fork", "--kill-child", "--mount-proc"]
MAY_SET_NUMBERS = "echo 300 > /proc/sys/kernel/ns_last_pid"

PROGRAM = """
import os, signal, subprocess, sys, threading
import shoal

n_rounds = int(sys.argv[1])
pause = threading.Event().wait
shoal.init(num_cpus=2, object_store_memory=256 << 20)

@shoal.remote(max_retries=0)
def pid_of():
    return os.getpid()

@shoal.remote(max_retries=0, num_cpus=0)
def forever():
    signal.pause()

@shoal.remote
class Actor:
    def __init__(self):
        self.n = 0
    def pid(self):
        return os.getpid()
    def add(self):
        self.n += 1
        return self.n

def free(pid):
    "Wait until nobody has the number, and have it given out next."
    while os.path.exists(f"/proc/{pid}"):
        pause(0.001)
    with open("/proc/sys/kernel/ns_last_pid", "w") as file:
        file.write(str(pid - 1))

def dies(call):
    try:
        call()
    except (shoal.ActorDiedError, shoal.WorkerCrashedError) as error:
        return error
    raise AssertionError("a value")

GUEST = '''
import os, sys
import shoal
shoal.init(address=sys.argv[1])
@shoal.remote
def double(n):
    return 2 * n
assert shoal.get([double.remote(n) for n in range(20)]) == list(range(0, 40, 2))
print(os.getpid(), flush=True)
sys.stdin.readline()
'''

def guest():
    process = subprocess.Popen([sys.executable, "-c", GUEST, address], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               text=True)
    return process, int(process.stdout.readline())

address = shoal.runtime.connected().config.runtime_dir
reused = {"actors": 0, "workers": 0, "guests": 0}
for n in range(n_rounds):
    # An actor gets the number of a dead one. What is meant for the dead one does not reach it.
    old = Actor.remote()
    pid = shoal.get(old.pid.remote())
    os.kill(pid, signal.SIGKILL)
    free(pid)
    new = Actor.remote()
    if shoal.get(new.pid.remote()) == pid:
        reused["actors"] += 1
    assert shoal.get(new.add.remote()) == 1
    error = dies(lambda: shoal.get(old.add.remote(), timeout=10))
    assert error.pid == pid and error.signal == signal.SIGKILL, error
    shoal.kill(old)
    assert shoal.get([new.add.remote() for _ in range(20)], timeout=10) == list(range(2, 22))
    # An actor gets the number of a worker whose death the driver has not heard of yet.
    ref = forever.remote()
    worker = shoal.get(pid_of.remote())
    os.kill(worker, signal.SIGKILL)
    free(worker)
    second = Actor.remote()
    if shoal.get(second.pid.remote()) == worker:
        reused["workers"] += 1
    assert len(shoal.get([pid_of.remote() for _ in range(20)], timeout=10)) == 20
    assert shoal.get(second.add.remote()) == 1
    shoal.kill(second)
    shoal.kill(new)
    del ref
    if n % max(1, n_rounds // 20) == 0:
        # So does a driver: the job of the dead one ends, its own does not.
        first, pid = guest()
        first.kill()
        first.wait()
        free(pid)
        again, number = guest()
        reused["guests"] += number == pid
        assert again.poll() is None
        again.communicate("go on")
        assert again.returncode == 0
print(reused["actors"], reused["workers"], reused["guests"], flush=True)
shoal.shutdown()
"""


def namespace() -> list[str] | None:
    """How to run a program where numbers may be set; None if we may not."""
    for command in (NAMESPACE, [*NAMESPACE, "--user", "--map-root-user"]):
        try:
            done = subprocess.run([*command, "sh", "-c", MAY_SET_NUMBERS], capture_output=True, check=False)
        except FileNotFoundError:
            return None
        if done.returncode == 0:
            return command
    return None


def test_nobody_is_taken_for_who_had_the_number_before(pick: Callable[[int, int], int], tmp_path: Path) -> None:
    command = namespace()
    if command is None:
        pytest.skip("no pid namespace may be made here: unshare --pid, as root or with user namespaces")
    tmp_path.chmod(0o700)
    n_rounds = pick(6, 200)
    done = subprocess.run(
        [*command, sys.executable, "-c", PROGRAM, str(n_rounds)],
        env={**Mark().environment(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=within(LIMIT_S),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    actors, workers, guests = map(int, done.stdout.split())
    print(f"numbers that came again: {actors} actors', {workers} workers', {guests} drivers'")
    assert actors >= n_rounds // 2
    assert workers >= n_rounds // 3
    assert guests >= 1

# SPDX-License-Identifier: Apache-2.0
"""A driver and a node that may open 128 files.

Who finds none left gets a typed error, and all goes on when some are free again."""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

from .census import pause
from .limits import within
from .marks import Mark, Program

N_FILES = 128
IDLE_CPU_S = 0.15  # of a daemon in half a second of refusing nobody new

PRELUDE = f"""
import os, resource, signal, socket, sys, warnings
resource.setrlimit(resource.RLIMIT_NOFILE, ({N_FILES}, {N_FILES}))
import shoal

@shoal.remote
def double(n):
    return 2 * n

@shoal.remote
def nest(n):
    return 1 if n == 0 else 1 + shoal.get(nest.remote(n - 1))

@shoal.remote
class Actor:
    def add(self, n):
        return n + 1

def say(*words):
    print(*words, flush=True)

def hear():
    return sys.stdin.readline().strip()

def fill():
    "Open files until there is room for no more."
    files = []
    while True:
        try:
            files.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            return files

def is_right(n=50):
    return shoal.get([double.remote(i) for i in range(n)], timeout=30) == [2 * i for i in range(n)]
"""

DRIVER = """
files = fill()
for n in range(12):
    # With n descriptors to spare each step of a start fails in its turn.
    for _ in range(n):
        os.close(files.pop())
    try:
        shoal.init(num_cpus=1)
        started = n
        shoal.shutdown()
    except shoal.NodeStartError as error:
        say("refused", str(error).splitlines()[0])
    files += fill()
for fd in files:
    os.close(fd)
n_open = len(os.listdir("/proc/self/fd"))
shoal.init(num_cpus=2)
assert is_right()  # what Python imports for a first call, it imports from files
files = fill()
assert is_right()
assert shoal.get(shoal.put(bytes(1 << 20))) == bytes(1 << 20)
assert shoal.wait([double.remote(1)], timeout=30)[1] == []
assert shoal.get(Actor.remote().add.remote(1), timeout=30) == 2
assert shoal.get(nest.remote(5), timeout=30) == 6
for fd in files:
    os.close(fd)
shoal.shutdown()
assert len(os.listdir("/proc/self/fd")) == n_open
say("well")
"""

NODE = """
warnings.simplefilter("ignore")
shoal.init(num_cpus=2)
say(shoal.runtime.connected().config.runtime_dir)
for n_expected in (8, 2, 2):  # spare workers, made for nested calls, share the rest
    actors = [Actor.remote() for _ in range(40)]
    n_alive = n_refused = 0
    for actor in actors:
        try:
            n_alive += shoal.get(actor.add.remote(1), timeout=30) == 2
        except shoal.ActorDiedError as error:
            assert "ulimit" in str(error), error
            n_refused += 1
    assert n_alive >= n_expected and n_refused >= 8, (n_alive, n_refused)
    assert is_right()
    for actor in actors:
        shoal.kill(actor)
    for actor in actors:
        try:
            shoal.get(actor.add.remote(1), timeout=30)
        except shoal.ActorDiedError:
            pass
    del actors, actor
    assert shoal.get(nest.remote(8), timeout=30) == 9
say("actors well")
hear()
assert is_right()
assert shoal.get(nest.remote(4), timeout=30) == 5
say("well")
hear()
"""

GUEST = """
import sys
import shoal
try:
    shoal.init(address=sys.argv[1])
except shoal.NodeStartError as error:
    print("refused", error)
    sys.exit()
@shoal.remote
def double(n):
    return 2 * n
assert shoal.get(double.remote(2)) == 4
print("served")
"""


@contextmanager
def strangers(address: str, count: int) -> Iterator[None]:
    """So many who knock at the node and say nothing."""
    with ExitStack() as stack:
        for _ in range(count):
            sock = stack.enter_context(socket.socket(socket.AF_UNIX))
            sock.connect(os.path.join(address, "daemon.sock"))
        yield


def ask_as_guest(address: str, mark: Mark, runtime: Path) -> str:
    with Program(GUEST, mark, runtime, arguments=(address,)) as guest:
        return guest.hear()


def test_a_driver_without_descriptors(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    mark = Mark()
    with Program(PRELUDE + DRIVER, mark, tmp_path) as driver:
        said = driver.hear()
        assert "refused" in said
        while said != "well":
            assert "files" in said, said
            said = driver.hear()
        driver.process.wait()
    mark.await_none(within(2.0))
    assert not list(tmp_path.iterdir())


def test_a_node_without_descriptors(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    mark = Mark()
    with Program(PRELUDE + NODE, mark, tmp_path) as host:
        address = host.hear()
        assert host.hear() == "actors well"
        daemon = next(child for child in psutil.Process(host.process.pid).children() if child.name() == "shoal-daemon")
        with strangers(address, 100):
            assert ask_as_guest(address, mark, tmp_path).startswith("refused")
            before_s = sum(daemon.cpu_times()[:2])
            pause(0.5)
            assert sum(daemon.cpu_times()[:2]) - before_s < IDLE_CPU_S, "it spins on a door that it cannot open"
            host.say()
            assert host.hear() == "well"
        for _ in range(3):
            assert ask_as_guest(address, mark, tmp_path) == "served"
        host.say()
        host.process.wait()
    mark.await_none(within(2.0))
    assert not list(tmp_path.iterdir())

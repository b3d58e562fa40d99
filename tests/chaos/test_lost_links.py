# SPDX-License-Identifier: Apache-2.0
"""A client's socket and its process do not end together: descriptors closed by hand, exec, daemons, children.

Only a process's death is its death; the end of its link only shuts it out.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

import shoal
from shoal import runtime

from .census import Census, await_until, node_processes, pause
from .limits import within
from .marks import Mark, Program

TOLD_S = 2.0
CLEARED_S = 2.0

GUEST = """
import os, signal, sys, time
import shoal
shoal.init(address=sys.argv[1])

@shoal.remote
def work(n):
    return n

@shoal.remote
class Actor:
    def add(self, n):
        return n + 1

def keep_sockets():
    # Copies that neither exec nor our own care for forked children closes.
    for fd in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{fd}").startswith("socket:"):
                os.set_inheritable(os.dup(int(fd)), True)
        except OSError:
            pass

def error_of(call):
    try:
        return repr(call())
    except shoal.ShoalError as error:
        return type(error).__name__

actor = Actor.remote()
kept = [shoal.put(bytes(1 << 20)), actor.add.remote(1)]
shoal.get(kept)
def say(*words):
    print(*words, flush=True)
say("up")
sys.stdin.readline()
"""


@shoal.remote
def double(n: int) -> int:
    return 2 * n


@contextmanager
def guest(then: str, path: Path = Path("/dev/null")) -> Iterator[Program]:
    with Program(GUEST + then, Mark(), arguments=(runtime.connected().config.runtime_dir, str(path))) as program:
        assert program.hear() == "up"
        yield program


def assert_others_go_on() -> None:
    assert shoal.get([double.remote(n) for n in range(100)], timeout=within(TOLD_S)) == list(range(0, 200, 2))


def n_actors() -> int:
    return len(node_processes().get("shoal:Actor", []))


def assert_job_ends(n_before: int) -> None:
    assert await_until(lambda: n_actors() == n_before, within(CLEARED_S))
    assert_others_go_on()


# -- the link ends, the process does not


def test_a_guest_that_closes_its_descriptors_is_told_so_and_may_come_again(census: Census, tmp_path: Path) -> None:
    again = """
os.closerange(3, 256)
files = [os.open(sys.argv[2], os.O_RDWR | os.O_CREAT) for _ in range(40)]  # the numbers mean something else now
say(error_of(lambda: actor.add.remote(1) and Actor.remote()))
say(error_of(lambda: shoal.get(work.remote(1), timeout=5)))
shoal.shutdown()
shoal.init(address=sys.argv[1])
say(shoal.get(work.remote(5)))
assert not os.fstat(files[0]).st_size, "something was written to a file of the program's"
sys.stdin.readline()
"""
    with guest(again, tmp_path / "file") as program:
        program.say()
        assert program.hear() == "NotConnectedError"
        assert program.hear() in ("NotConnectedError", "NodeStoppingError")
        assert program.hear() == "5"
    assert_job_ends(0)


def test_a_guest_that_executes_another_program_is_gone_with_its_job(census: Census) -> None:
    with guest("os.execl('/bin/sleep', 'sleep', '1000')") as program:
        program.say()
        assert_job_ends(0)
        assert program.process.poll() is None


def test_a_worker_that_closes_its_descriptors_is_replaced(census: Census) -> None:
    @shoal.remote(max_retries=0)
    def close_all() -> int:
        os.closerange(3, 256)
        return os.getpid()

    pid = shoal.get(close_all.remote(), timeout=within(TOLD_S))
    assert await_until(lambda: not psutil.pid_exists(pid), within(CLEARED_S))
    assert_others_go_on()


def test_an_actor_that_closes_its_descriptors_dies_of_it(census: Census) -> None:
    @shoal.remote
    class Closer:
        def close_all(self) -> int:
            os.closerange(3, 256)
            return os.getpid()

    closer = Closer.remote()
    pid = shoal.get(closer.close_all.remote(), timeout=within(TOLD_S))
    assert await_until(lambda: not psutil.pid_exists(pid), within(CLEARED_S))
    with pytest.raises(shoal.ActorDiedError, match="descriptor"):
        shoal.get(closer.close_all.remote(), timeout=within(TOLD_S))


@pytest.mark.parametrize("max_retries", [0, 1])
def test_a_task_that_executes_another_program_is_lost(census: Census, max_retries: int, tmp_path: Path) -> None:
    @shoal.remote(max_retries=max_retries)
    def execute(once: str) -> int:
        if os.path.exists(once):
            return 5
        open(once, "w").close()
        os.execl("/bin/sleep", "sleep", "1000")
        raise AssertionError("exec returned")

    ref = execute.remote(str(tmp_path / "once"))
    assert_others_go_on()
    if max_retries:
        assert shoal.get(ref, timeout=within(2 * TOLD_S)) == 5
    else:
        with pytest.raises(shoal.WorkerCrashedError):
            shoal.get(ref, timeout=within(2 * TOLD_S))
    assert_others_go_on()


# -- the process ends, the link does not


def test_a_guest_dies_while_its_child_keeps_its_sockets(census: Census) -> None:
    orphan = """
keep_sockets()
if os.fork() == 0:
    say(os.getpid())
    while True:
        signal.pause()
sys.stdin.readline()
os.kill(os.getpid(), signal.SIGKILL)
"""
    with guest(orphan) as program:
        program.say()
        child = int(program.hear())
        try:
            assert n_actors() == 1
            program.say()
            assert_job_ends(0)
            assert psutil.pid_exists(child)
        finally:
            os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("max_retries", [0, 1])
def test_a_worker_dies_while_its_child_keeps_its_sockets(census: Census, max_retries: int, tmp_path: Path) -> None:
    @shoal.remote(max_retries=max_retries)
    def leave_a_child(note: str) -> int:
        if os.path.exists(note):
            return 5
        for fd in os.listdir("/proc/self/fd"):
            if os.path.islink(f"/proc/self/fd/{fd}") and os.readlink(f"/proc/self/fd/{fd}").startswith("socket:"):
                os.dup(int(fd))
        child = os.fork()
        if child == 0:
            os.setsid()
            Path(note).write_text(str(os.getpid()))
            while True:
                signal.pause()
        while not os.path.exists(note) or not Path(note).read_text():
            pass
        os.kill(os.getpid(), signal.SIGKILL)
        return 0

    note = tmp_path / "child"
    started_s = time.monotonic()
    ref = leave_a_child.remote(str(note))
    if max_retries:
        assert shoal.get(ref, timeout=within(TOLD_S)) == 5
    else:
        with pytest.raises(shoal.WorkerCrashedError, match="SIGKILL"):
            shoal.get(ref, timeout=within(TOLD_S))
    assert time.monotonic() - started_s < within(TOLD_S)
    child = int(note.read_text())
    assert psutil.pid_exists(child)
    os.kill(child, signal.SIGKILL)


# -- daemons

DAEMONIZE = """
def daemonize():
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)
"""


def test_a_guest_that_becomes_a_daemon_after_init_has_left_its_connection_behind(census: Census) -> None:
    then = """
daemonize()
say(os.getpid())
say(error_of(lambda: shoal.get(kept[1])))
say(error_of(lambda: work.remote(1)))
shoal.init(address=sys.argv[1])
say(shoal.get(work.remote(7)))
shoal.shutdown()
say("done")
"""
    with guest(DAEMONIZE + then) as program:
        program.say()
        daemon = int(program.hear())
        try:
            assert program.hear() == "ForkedProcessError"
            assert program.hear() == "ForkedProcessError"
            assert program.hear() == "7"
            assert program.hear() == "done"
            assert_job_ends(0)
        finally:
            if psutil.pid_exists(daemon):
                os.kill(daemon, signal.SIGKILL)


def test_a_starter_that_becomes_a_daemon_after_init_ends_its_node(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    text = (
        DAEMONIZE
        + """
import os, shoal, signal
shoal.init(num_cpus=1)
daemonize()
print(os.getpid(), flush=True)
while True:
    signal.pause()
"""
    )
    mark = Mark()
    with Program(text, mark, tmp_path) as program:
        daemon = int(program.hear())
        program.process.wait()
        deadline_s = time.monotonic() + within(CLEARED_S)
        while (left := set(mark.pids()) - {daemon}) or any(tmp_path.iterdir()):
            assert time.monotonic() < deadline_s, left
            pause(0.01)
        os.kill(daemon, signal.SIGKILL)


def test_a_task_that_leaves_a_daemon_behind_is_done_all_the_same(census: Census) -> None:
    @shoal.remote
    def leave_a_daemon() -> int:
        reader, writer = os.pipe()
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                os.write(writer, b"%d" % os.getpid())
                while True:
                    signal.pause()
            os._exit(0)
        os.wait()
        return int(os.read(reader, 20))

    daemons = shoal.get([leave_a_daemon.remote() for _ in range(3)], timeout=within(TOLD_S))
    assert_others_go_on()
    for daemon in daemons:
        os.kill(daemon, signal.SIGKILL)

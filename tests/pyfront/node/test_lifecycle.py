# SPDX-License-Identifier: Apache-2.0
"""Whoever of a node's processes dies, and however: no process, file or shared memory is left behind."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from tests.chaos.limits import within
from tests.processes import SHARED_MEMORY, uses
from tests.util.waiting import eventually

TIMEOUT_S = 30.0
ENDED_S = 5.0  # on an idle machine; the daemon's death is bounded by 2 s

PRELUDE = """
import os, signal, sys, time
import shoal

@shoal.remote
def pid():
    return os.getpid()

@shoal.remote(max_retries=10)
def double(x):
    return 2 * x

@shoal.remote
class Counter:
    def __init__(self):
        self.n = 0
    def add(self):
        self.n += 1
        return self.n

def say(*words):
    print(*words, flush=True)

def hear():
    return sys.stdin.readline().strip()

"""
START = """
shoal.init(num_cpus=2)
counter = Counter.remote()
assert shoal.get(counter.add.remote()) == 1
assert shoal.get([double.remote(i) for i in range(10)]) == [2 * i for i in range(10)]
"""


class Program:
    """A driver in a process of its own, spoken with line by line."""

    def __init__(self, text: str, runtime: Path) -> None:
        environment = {**os.environ, "XDG_RUNTIME_DIR": str(runtime), "PYTHONPATH": os.pathsep.join(sys.path)}
        self.process = subprocess.Popen(
            [sys.executable, "-c", PRELUDE + text],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )

    def hear(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the driver ended with {self.process.wait(TIMEOUT_S)}"
        return line.strip()

    def say(self) -> None:
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # it may be dead
            self.process.stdin.write("\n")
            self.process.stdin.flush()

    def wait(self) -> int:
        return self.process.wait(TIMEOUT_S)

    def below(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def one(self, name: str) -> psutil.Process:
        return next(process for process in self.below() if process.name() == name)


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    os.chmod(tmp_path, 0o700)
    return tmp_path


@pytest.fixture
def run(runtime: Path) -> Iterator[Callable[[str], Program]]:
    programs: list[Program] = []

    def run(text: str) -> Program:
        programs.append(Program(text, runtime))
        return programs[-1]

    yield run
    for program in programs:
        program.process.kill()
        program.process.communicate()


def assert_ended(processes: list[psutil.Process]) -> None:
    """All of them exit in time; whether their parent has reaped them is its affair."""
    deadline_s = time.monotonic() + within(ENDED_S)
    for process in processes:
        with suppress(ProcessLookupError):
            pidfd = os.pidfd_open(process.pid)
            try:
                left_s = max(0.0, deadline_s - time.monotonic())
                assert select.select([pidfd], [], [], left_s)[0], f"{process} lives on"
            finally:
                os.close(pidfd)


def assert_nothing_left(processes: list[psutil.Process], runtime: Path) -> None:
    assert_ended(processes)
    assert list(runtime.rglob("*")) == []


RunProgram = Callable[[str], Program]

ENDS = {
    "by falling off the end": "",
    "by shutdown": "shoal.shutdown()",
    "by exception": "raise ValueError('boom')",
    "by sys.exit": "sys.exit(3)",
    "by os._exit": "os._exit(3)",
    "by abort": "os.abort()",
    "by exec": "os.execl('/bin/true', 'true')",
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
def test_nothing_is_left_of_a_driver_that_ends(run: RunProgram, runtime: Path, end: str) -> None:
    program = run(START + "say('up'); hear()\n" + end)
    assert program.hear() == "up"
    below = program.below()
    assert len(below) >= 4
    assert not [process for process in below if uses(process, SHARED_MEMORY)]
    program.say()
    program.wait()
    assert_nothing_left(below, runtime)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("victim", ["driver", "shoal-daemon", "shoal-zygote"])
def test_nothing_is_left_when_a_process_of_the_node_is_killed(
    run: RunProgram, runtime: Path, victim: str, number: signal.Signals
) -> None:
    program = run(START + "say('up'); hear()\n")
    assert program.hear() == "up"
    below = program.below()
    target = psutil.Process(program.process.pid) if victim == "driver" else program.one(victim)
    target.send_signal(number)
    assert_ended(below)
    program.say()
    program.wait()
    assert_nothing_left(below, runtime)


@pytest.mark.parametrize("victim", ["shoal-daemon", "shoal-zygote", "shoal-worker"])
def test_a_driver_ends_in_time_though_a_process_of_its_node_is_stopped(
    run: RunProgram, runtime: Path, victim: str
) -> None:
    program = run(START + "say('up'); hear()\n")
    assert program.hear() == "up"
    below = program.below()
    program.one(victim).suspend()
    program.say()
    assert program.wait() == 0
    assert_nothing_left(below, runtime)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_node_goes_on_when_a_worker_is_killed(run: RunProgram, runtime: Path, number: signal.Signals) -> None:
    program = run(
        START
        + "say(shoal.get(pid.remote())); hear()\n"
        + "assert shoal.get([double.remote(i) for i in range(100)]) == [2 * i for i in range(100)]; say('well')\n"
    )
    os.kill(int(program.hear()), number)
    below = program.below()
    program.say()
    assert program.hear() == "well"
    assert program.wait() == 0
    assert_nothing_left(below, runtime)


def test_a_driver_that_waits_learns_of_the_daemons_death(run: RunProgram, runtime: Path) -> None:
    program = run(
        START
        + """
@shoal.remote
def forever():
    signal.pause()
ref = forever.remote()
say('up')
try:
    shoal.get(ref)
except shoal.NodeDiedError:  # the wait's, or that of a worker that was asking for the function
    say('the node is gone')
"""
    )
    assert program.hear() == "up"
    below = program.below()
    program.one("shoal-daemon").kill()
    assert program.hear() == "the node is gone"
    assert program.wait() == 0
    assert_nothing_left(below, runtime)


def test_what_a_task_started_dies_with_the_node(run: RunProgram, runtime: Path) -> None:
    program = run(
        START
        + """
@shoal.remote
def spawn():
    child = os.fork()
    if child == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        signal.pause()
    os.waitpid(child, 0)
shoal.get(spawn.remote())
say('up'); hear()
os._exit(0)
"""
    )
    assert program.hear() == "up"
    below = program.below()
    program.say()
    program.wait()
    assert_nothing_left(below, runtime)


FORKS = {
    "that exits": "os._exit(0)",
    "that falls off the end": "sys.exit(0)",
    "that shuts down": "shoal.shutdown(); os._exit(0)",
}


@pytest.mark.parametrize("child", FORKS.values(), ids=FORKS.keys())
def test_a_forked_child_of_the_driver_does_no_harm(run: RunProgram, runtime: Path, child: str) -> None:
    program = run(
        START
        + f"""
child = os.fork()
if child == 0:
    {child}
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert shoal.get(double.remote(21)) == 42
assert shoal.get(counter.add.remote()) == 2
say('well')
"""
    )
    below = program.below()
    assert program.hear() == "well"
    assert program.wait() == 0
    assert_nothing_left(below, runtime)


def test_the_driver_may_die_while_its_forked_child_lives_on(run: RunProgram, runtime: Path) -> None:
    program = run(
        START
        + """
child = os.fork()
if child == 0:
    say('up')
    signal.pause()
signal.pause()
"""
    )
    assert program.hear() == "up"
    below = program.below()
    child = next(process for process in below if process.parent() == psutil.Process(program.process.pid)
                 and process.name() != "shoal-daemon")  # fmt: skip
    below.remove(child)
    program.process.kill()
    assert_nothing_left(below, runtime)
    child.kill()


def test_a_second_driver_comes_and_goes(run: RunProgram, runtime: Path) -> None:
    host = run(START + "say('up'); hear(); assert shoal.get(double.remote(21)) == 42; say('well')\n")
    assert host.hear() == "up"
    guest = run(
        "shoal.init(address='auto')\n"
        "counter = Counter.remote()\n"
        "say(shoal.get(double.remote(4)) + shoal.get(counter.add.remote())); hear()\n"
    )
    assert guest.hear() == "9"
    below = host.below()
    guest.say()
    assert guest.wait() == 0
    host.say()
    assert host.hear() == "well"
    assert host.wait() == 0
    assert_nothing_left(below, runtime)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_what_belongs_to_a_killed_guest_ends_with_it(run: RunProgram, runtime: Path, number: signal.Signals) -> None:
    host = run(START + "say('up'); hear(); assert shoal.get(double.remote(21)) == 42; say('well')\n")
    assert host.hear() == "up"
    before = {process.pid for process in host.below()}
    guest = run(
        "shoal.init(address='auto')\n"
        "counter = Counter.remote()\n"
        "say(shoal.get(counter.add.remote()), shoal.get(pid.remote())); signal.pause()\n"
    )
    guest.hear()
    of_guest = [process for process in host.below() if process.pid not in before]
    assert of_guest
    guest.process.send_signal(number)
    assert_ended(of_guest)
    below = host.below()
    host.say()
    assert host.hear() == "well"
    assert host.wait() == 0
    assert_nothing_left(below, runtime)


def test_a_guest_learns_that_the_node_has_stopped(run: RunProgram, runtime: Path) -> None:
    host = run(START + "say('up'); hear()\n")
    assert host.hear() == "up"
    guest = run(
        """
shoal.init(address='auto')
@shoal.remote
def forever():
    signal.pause()
say('up')
try:
    shoal.get(forever.remote())
except shoal.errors.ShoalError as error:
    say(type(error).__name__)
"""
    )
    assert guest.hear() == "up"
    below = host.below()
    host.say()
    assert guest.hear() in ("NodeDiedError", "NodeStoppingError", "TaskCancelledError")
    assert guest.wait() == 0
    assert host.wait() == 0
    assert_nothing_left(below, runtime)


def test_a_killed_nodes_folder_is_swept_by_the_next(run: RunProgram, runtime: Path) -> None:
    first = run(START + "say('up'); signal.pause()\n")
    assert first.hear() == "up"
    below = first.below()
    for process in (first.one("shoal-zygote"), first.one("shoal-daemon")):  # nobody is left to clean up
        process.suspend()
    for process in below:
        process.kill()
    first.process.kill()
    assert_ended(below)
    assert len(list((runtime / "shoal").iterdir())) == 1
    second = run(START + "say('up')\n")
    assert second.hear() == "up"
    assert second.wait() == 0
    assert_nothing_left(below, runtime)


def test_a_daemon_keeps_nothing_of_workers_that_are_gone(run: RunProgram, runtime: Path) -> None:
    program = run(
        START
        + """
@shoal.remote(max_retries=0)
def die():
    os.kill(os.getpid(), signal.SIGKILL)
while True:
    say('ready')
    hear()
    for _ in range(20):
        try:
            shoal.get(die.remote())
        except shoal.errors.WorkerCrashedError:
            pass
    shoal.get(double.remote(1))
    actors = [Counter.remote() for _ in range(10)]
    shoal.get([actor.add.remote() for actor in actors])
    for actor in actors:
        shoal.kill(actor)
    for actor in actors:
        try:
            shoal.get(actor.add.remote())
        except shoal.errors.ActorDiedError:
            pass
    del actor, actors
"""
    )
    assert program.hear() == "ready"
    daemon = program.one("shoal-daemon")
    n_descriptors = []
    for _ in range(3):
        program.say()
        assert program.hear() == "ready"
        n_descriptors.append(daemon.num_fds())
    # A worker or two may be on their way in, and any number of those that died on their way out.
    eventually(lambda: daemon.num_fds() <= n_descriptors[0] + 10)
    below = program.below()
    program.process.kill()
    assert_nothing_left(below, runtime)


def test_init_after_shutdown_starts_a_fresh_node(run: RunProgram, runtime: Path) -> None:
    program = run(
        "for _ in range(3):\n    " + START.strip().replace("\n", "\n    ") + "\n    shoal.shutdown()\nsay(1)\n"
    )
    assert program.hear() == "1"
    assert program.wait() == 0
    assert_nothing_left([], runtime)

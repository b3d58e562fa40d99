# SPDX-License-Identifier: Apache-2.0
"""Drivers: init and shutdown, several on one node, forks, and ends of every kind."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import shoal

Script = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(autouse=True)
def disconnected() -> Iterator[None]:
    yield
    shoal.shutdown()


@shoal.remote
def add(a: int, b: int = 1) -> int:
    return a + b


def test_init_describes_the_connection() -> None:
    assert not shoal.is_initialized()
    context = shoal.init(num_cpus=3, num_gpus=1, resources={"disk": 2}, namespace="mine", record_lines=0)  # type: ignore[arg-type]
    assert shoal.is_initialized()
    assert context.namespace == "mine"
    assert Path(context.address).is_dir()
    resources = shoal.cluster_resources()
    assert (resources["CPU"], resources["GPU"], resources["disk"]) == (3, 1, 2)
    assert shoal.nodes()[0]["Alive"]
    assert context.node_id in repr(context)


def test_the_first_use_connects() -> None:
    assert shoal.get(shoal.put(1)) == 1
    assert shoal.is_initialized()


def test_a_with_statement_ends_the_connection() -> None:
    with shoal.init(num_cpus=1) as context:
        assert shoal.get(add.remote(1)) == 2
        folder = Path(context.address)
    assert not shoal.is_initialized()
    assert not folder.exists()


def test_init_twice_is_refused_unless_asked_for() -> None:
    first = shoal.init(num_cpus=1)
    with pytest.raises(RuntimeError, match="shutdown") as caught:
        shoal.init()
    assert isinstance(caught.value, shoal.AlreadyInitializedError)
    assert shoal.init(ignore_reinit_error=True).session == first.session


def test_a_remote_function_works_on_the_next_node_too() -> None:
    for _ in range(3):
        shoal.init(num_cpus=1)
        assert shoal.get(add.remote(1)) == 2
        shoal.shutdown()


def test_refs_and_handles_of_an_ended_connection_say_so() -> None:
    @shoal.remote
    class Actor:
        def read(self) -> int:
            return 1

    shoal.init(num_cpus=1)
    ref, actor = shoal.put(1), Actor.remote()
    shoal.get(actor.read.remote())
    shoal.shutdown()
    shoal.init(num_cpus=1)
    with pytest.raises(shoal.ShoalError):
        shoal.get(ref)
    with pytest.raises(shoal.ShoalError):
        actor.read.remote()


def test_futures_that_are_pending_at_shutdown_say_so() -> None:
    @shoal.remote
    def forever() -> None:
        threading.Event().wait()

    shoal.init(num_cpus=1)
    futures = [forever.remote().future() for _ in range(2)]
    shoal.shutdown()
    for future in futures:
        with pytest.raises(shoal.ShoalError):
            future.result(20)


def test_shutdown_twice_has_no_effect() -> None:
    shoal.init(num_cpus=1)
    shoal.shutdown()
    shoal.shutdown()


def test_bad_options_of_init_are_refused() -> None:
    with pytest.raises(TypeError, match="num_cpu'"):
        shoal.init(num_cpu=1)
    with pytest.raises(shoal.UnsupportedOptionError, match="include_dashboard"):
        shoal.init(include_dashboard=True)
    with pytest.raises(shoal.NodeNotFoundError):
        shoal.init("/no/such/node")
    assert not shoal.is_initialized()


def test_two_drivers_share_a_node(script: Script) -> None:
    context = shoal.init(num_cpus=2, namespace="shared")

    @shoal.remote
    class Counter:
        def __init__(self) -> None:
            self.value = 0

        def increment(self) -> int:
            self.value += 1
            return self.value

    counter = Counter.options(name="counter").remote()
    other = script(
        """
        import sys, shoal
        shoal.init(sys.argv[1], namespace="shared")
        counter = shoal.get_actor("counter")
        print([shoal.get(counter.increment.remote()) for _ in range(3)])
        print(shoal.get(shoal.remote(lambda x: x + 1).remote(41)))
        shoal.shutdown()
        print(shoal.is_initialized())
        """,
        context.address,
    )
    out, err = other.communicate(timeout=60)
    assert out.splitlines() == ["[1, 2, 3]", "42", "False"], err
    assert shoal.get(counter.increment.remote()) == 4


def test_a_second_driver_is_served_beside_a_long_queue(script: Script) -> None:
    context = shoal.init(num_cpus=1)
    queued = [add.remote(n) for n in range(100_000)]
    other = script(
        """
        import sys, shoal
        shoal.init(sys.argv[1])
        print(shoal.get([shoal.remote(lambda x: x).remote(n) for n in range(10)], timeout=60))
        """,
        context.address,
    )
    out, err = other.communicate(timeout=60)
    assert out.split() == str(list(range(10))).split(), err
    assert len(shoal.wait(queued, num_returns=len(queued), timeout=0)[1]) > 0 or shoal.get(queued[-1]) == 100_000


def test_a_driver_that_is_killed_takes_its_job_with_it(script: Script) -> None:
    context = shoal.init(num_cpus=2)
    other = script(
        """
        import sys, threading, shoal
        shoal.init(sys.argv[1])

        @shoal.remote
        def forever():
            threading.Event().wait()

        refs = [forever.remote() for _ in range(4)]
        shoal.wait(refs, timeout=0.1)
        print("ready", flush=True)
        sys.stdin.read()
        """,
        context.address,
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "ready\n"
    other.kill()
    assert shoal.get([add.remote(n) for n in range(100)], timeout=60) == list(range(1, 101))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_node_ends_with_the_driver_that_started_it(script: Script, number: int) -> None:
    driver = script(
        """
        import sys, shoal
        context = shoal.init(num_cpus=2)
        shoal.get([shoal.remote(lambda: 1).remote() for _ in range(4)])
        print(context.address, *[shoal.get(shoal.remote(lambda: __import__("os").getpid()).remote())], flush=True)
        sys.stdin.read()
        """
    )
    assert driver.stdout is not None
    folder, worker = driver.stdout.readline().split()
    process = os.pidfd_open(int(worker))
    driver.send_signal(number)
    driver.wait(60)
    assert exits(process)
    assert eventually_gone(Path(folder))


def exits(process: int) -> bool:
    import select

    try:
        return bool(select.select([process], [], [], 10)[0])
    finally:
        os.close(process)


def eventually_gone(folder: Path) -> bool:
    return any(not folder.exists() or threading.Event().wait(0.02) for _ in range(500))


def test_interpreter_exit_without_shutdown_is_clean(script: Script) -> None:
    driver = script(
        """
        import shoal
        ref = shoal.put([shoal.put(1)])
        actor = shoal.remote(type("A", (), {"m": lambda self: 1})).remote()
        print(shoal.get(actor.m.remote()))
        """
    )
    out, err = driver.communicate(timeout=60)
    assert (out, err, driver.returncode) == ("1\n", "", 0)


def test_a_keyboard_interrupt_ends_a_get_at_once(script: Script) -> None:
    driver = script(
        """
        import threading, shoal
        shoal.init(num_cpus=1)
        ref = shoal.remote(lambda: threading.Event().wait()).remote()
        try:
            print("waiting", flush=True)
            shoal.get(ref)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        """
    )
    assert driver.stdout is not None
    assert driver.stdout.readline() == "waiting\n"
    driver.send_signal(signal.SIGINT)
    out, err = driver.communicate(timeout=20)
    assert out == "interrupted\n", err


def test_a_forked_child_is_told_and_can_have_a_node_of_its_own(script: Script) -> None:
    driver = script(
        """
        import os, shoal
        shoal.init(num_cpus=1)
        ref = shoal.put(1)
        child = os.fork()
        if child == 0:
            try:
                shoal.get(ref)
            except shoal.ForkedProcessError as error:
                print("told", flush=True)
            try:
                shoal.put(2)
            except shoal.ForkedProcessError as error:
                print("told again", flush=True)
            shoal.init(num_cpus=1)
            print(shoal.get(shoal.remote(lambda: "own").remote()), flush=True)
            shoal.shutdown()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        print(shoal.get(ref), shoal.get(shoal.remote(lambda: 2).remote()))
        """
    )
    out, err = driver.communicate(timeout=60)
    assert out.splitlines() == ["told", "told again", "own", "1 2"], err


def test_a_forked_child_that_just_exits_harms_nobody(script: Script) -> None:
    driver = script(
        """
        import multiprocessing, shoal
        shoal.init(num_cpus=1)
        refs = [shoal.put(n) for n in range(100)]
        context = multiprocessing.get_context("fork")
        children = [context.Process(target=refs.clear) for _ in range(4)]
        for child in children: child.start()
        for child in children: child.join()
        print(shoal.get(refs) == list(range(100)), [child.exitcode for child in children])
        """
    )
    out, err = driver.communicate(timeout=60)
    assert out == "True [0, 0, 0, 0]\n", err


def test_output_of_workers_reaches_the_driver_with_name_and_pid(script: Script) -> None:
    driver = script(
        """
        import sys, shoal
        shoal.init(num_cpus=1)

        @shoal.remote
        def talk():
            print("to stdout")
            print("to stderr", file=sys.stderr)

        @shoal.remote
        class Speaker:
            def talk(self):
                print("from an actor")

        shoal.get(talk.remote())
        speaker = Speaker.remote()
        shoal.get(speaker.talk.remote())
        """
    )
    out, err = driver.communicate(timeout=60)
    assert "(talk pid=" in out
    assert ") to stdout" in out
    assert ") to stderr" in err
    assert "(Speaker pid=" in out


def test_the_environment_names_the_node(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    context = shoal.init(num_cpus=2)
    monkeypatch.setenv("SHOAL_ADDRESS", context.address)
    other = script("import shoal; print(shoal.get_runtime_context().get_node_id())")
    out, err = other.communicate(timeout=60)
    assert out.strip() == context.node_id, err


def test_bad_answers_to_node_options_beside_an_address() -> None:
    context: Any = shoal.init(num_cpus=1)
    address = context.address
    shoal.shutdown()
    with pytest.raises(ValueError, match="num_cpus"):
        shoal.init(address, num_cpus=2)


WITHOUT_STREAMS = """
import os, sys
for fd in (0, 1, 2):
    os.close(fd)  # as a service that was started without
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
PRINTS = """
import sys, shoal
told = open(sys.argv[1], "w")
shoal.init(num_cpus=1)

@shoal.remote
def prints():
    print("to nobody")
    return 1

@shoal.remote
def takes_its_own():
    sys.stdout = None

assert sys.stdout is None and sys.stderr is None
told.write(f"{shoal.get(prints.remote())}\\n")
shoal.get(takes_its_own.remote())
told.write(f"{shoal.cluster_resources()['CPU']}\\n")  # an answer of the daemon's, after the worker's line
shoal.shutdown()
told.write("over")
"""


def test_a_driver_without_standard_streams(tmp_path: Path) -> None:
    program, told = tmp_path / "program.py", tmp_path / "told"
    program.write_text(PRINTS)
    command = [sys.executable, "-c", WITHOUT_STREAMS, str(program), str(told)]
    subprocess.run(command, timeout=60, check=True)
    assert told.read_text().splitlines() == ["1", "1.0", "over"]

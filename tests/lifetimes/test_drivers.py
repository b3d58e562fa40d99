# SPDX-License-Identifier: Apache-2.0
"""Objects that several drivers hold, and drivers that end, die or stop."""

import os
import select
import signal
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest
from tests.chaos.census import await_until

import shoal

from .conftest import Driver, await_held, held
from .test_pickles import ask

pytestmark = pytest.mark.usefixtures("before")

GIVER = """
    import numpy as np

    @shoal.remote
    def make(n): return {"inner": shoal.put(np.full(10_000, n))}

    @shoal.remote
    def never(gate): ...

    @shoal.remote
    class Shelf:
        def put(self, value): self.value = value
        def take(self): return self.value
        def hang(self):
            import threading
            threading.Event().wait()

    shelf = Shelf.options(name="shelf", max_concurrency=2).remote()
    value = {
        "put": shoal.put(np.full(10_000, 1)),
        "made": make.remote(2),
        "container": shoal.put([shoal.put({"deep": shoal.put(np.full(10_000, 3))})]),
        "never": never.remote(shelf.hang.remote()),
    }
    shoal.get(value["made"])
    shoal.get(shelf.put.remote(value))
"""


def take_from_shelf() -> Any:
    shelf = shoal.get_actor("shelf", namespace="shared")
    return shoal.get(shelf.take.remote()), shelf


@pytest.mark.parametrize("end", ["exit", "kill"])
def test_objects_outlive_the_driver_that_made_them(driver: Driver, before: dict[str, float], end: str) -> None:
    giver = driver(GIVER + "    say('ready')\n    hear()\n")
    assert ask(giver) == "ready"
    value, shelf = take_from_shelf()
    if end == "exit":
        ask(giver, "end")
    else:
        giver.kill()
    giver.wait()
    assert int(shoal.get(value["put"])[0]) == 1
    assert int(shoal.get(shoal.get(value["made"])["inner"])[0]) == 2
    deep = shoal.get(shoal.get(value["container"])[0])["deep"]
    assert int(shoal.get(deep)[0]) == 3
    with pytest.raises((shoal.TaskCancelledError, shoal.ActorDiedError)):  # what had no value then has none now
        shoal.get(value["never"])
    with pytest.raises((shoal.TaskCancelledError, shoal.ActorDiedError)):  # the actor was its job's
        shoal.get(shelf.take.remote())
    del value, deep, shelf
    await_held(before)


def test_a_driver_that_is_stopped_holds_on_and_one_that_is_killed_does_not(driver: Driver) -> None:
    giver = driver(GIVER + "    value = shoal.get(shelf.take.remote())\n    say('ready')\n    hear()\n")
    assert ask(giver) == "ready"
    value, shelf = take_from_shelf()
    os.kill(giver.pid, signal.SIGSTOP)
    for n in range(2_000):  # its log and ours go on, or not
        shoal.get(shoal.put([value["put"], n]))
    del value
    value = shoal.get(shelf.take.remote())
    assert int(shoal.get(value["put"])[0]) == 1
    del value, shelf
    giver.kill()
    giver.wait()


def test_refs_dropped_while_the_interpreter_ends(driver: Driver) -> None:
    process = driver("""
        import gc, sys, threading

        class Keeper:
            def __init__(self, *values): self.values, self.itself = values, self
            def __del__(self):
                for ref in self.values: shoal.get(ref)

        class Dropper:
            def __init__(self, *values): self.values = values
            def __del__(self): self.values = ()

        @shoal.remote
        class Actor:
            def ping(self): return 1

        actor = Actor.remote()
        shoal.get(actor.ping.remote())
        kept = [Dropper(shoal.put([shoal.put(n)]), actor) for n in range(100)]
        sys.kept = Dropper(shoal.put(1), actor.ping)
        cycle = [shoal.put(2), actor]; cycle.append(cycle)
        error = None
        try: 1 / 0
        except ZeroDivisionError as caught: error = (caught, shoal.put(3))
        threading.Thread(target=lambda: [shoal.put(n) for n in range(1000)]).start()
        say("ready")
    """)
    out, err = process.communicate(timeout=60)
    assert (out, err, process.returncode) == ("ready\n", "", 0)


def test_a_driver_that_disconnects_lets_go(driver: Driver, before: dict[str, float]) -> None:
    @shoal.remote
    class Shelf:
        def take(self) -> Any:
            return [shoal.put(np.full(10_000, n)) for n in range(3)]

    shelf = Shelf.options(name="mine", namespace="shared").remote()
    process = driver("""
        shelf = shoal.get_actor("mine")
        refs = shoal.get(shelf.take.remote())
        own = [shoal.put(refs), shoal.put(1)]
        view = shoal.get(refs[1])
        say("ready")
        hear()
        shoal.shutdown()
        say(int(view[0]))
        hear()
    """)
    assert ask(process) == "ready"
    del shelf
    assert held()["live_bytes"] >= before["live_bytes"] + 3 * 80_000
    assert ask(process, "go") == "1"
    await_held({**before, "live_entries": before["live_entries"] + 1, "live_bytes": before["live_bytes"] + (2 << 16)})


FILL = """
    many = shoal.put([shoal.put(n) for n in range(30_000)])  # more events than a log has cells
    shoal.get(shoal.put(None))
    say("ready")
    hear()
    try:
        say(len(shoal.get(many)))
        hear()
    except shoal.NodeDiedError as error:
        say("died")
"""


def is_stopped(pid: int) -> bool:
    """Whether all threads of a process stand still: they stop one after the other."""
    return all("T (stopped)" in path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/status"))


@pytest.mark.parametrize("then", [signal.SIGCONT, signal.SIGKILL])
def test_a_full_log_waits_for_the_daemon_and_for_nobody_else(driver: Driver, then: int) -> None:
    process: Any = driver("shoal.shutdown(); context = shoal.init(num_cpus=1)\nfrom shoal import runtime\n"
                          "say(runtime.connected().config.daemon_pid)\n" + dedent(FILL))  # fmt: skip
    daemon = int(ask(process))
    assert ask(process) == "ready"
    os.kill(daemon, signal.SIGSTOP)
    await_until(lambda: is_stopped(daemon))
    try:
        process.stdin.write("go\n")
        process.stdin.flush()
        assert not select.select([process.stdout], [], [], 0.5)[0], process.communicate()  # waits for room in its log
    finally:
        os.kill(daemon, then)
    assert select.select([process.stdout], [], [], 20)[0], "it waits for a daemon that is dead"
    said = process.stdout.readline().strip()  # what lies in memory may be read even from a node that has died
    assert said == "30000" or (then == signal.SIGKILL and said == "died")
    _, err = process.communicate("end\n", timeout=20)
    assert (err, process.returncode) == ("", 0)

# SPDX-License-Identifier: Apache-2.0
"""What a connection needs to begin, and what is left of it when it has ended: in this process, and on the node."""

import os
import subprocess
import sys
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


def test_what_an_ended_connection_left_is_refused_inside_values_too() -> None:
    @shoal.remote
    class Actor:
        def read(self) -> int:
            return 1

    @shoal.remote
    def use(value: Any) -> Any:
        return value

    shoal.init(num_cpus=1)
    actor: Any = Actor.remote()
    shoal.get(actor.read.remote())
    olds = [[shoal.put("old")], {"handle": actor}, [actor.read]]
    shoal.shutdown()
    shoal.init(num_cpus=1)
    kept: Any = [shoal.put("new"), Actor.remote()]  # where the old ones were
    for old in olds:
        for call in (shoal.put, use.remote, lambda value: use.remote(key=value), kept[1].read.remote):
            with pytest.raises(shoal.InvalidReferenceError, match="earlier connection"):
                call(old)
        with pytest.raises(shoal.ShoalError):
            shoal.remote(lambda old=old: old).remote()
    assert shoal.get(use.remote(kept[:1])) == kept[:1]


def test_a_ref_that_was_not_made_is_refused() -> None:
    shoal.init(num_cpus=1)
    ref: Any = shoal.ObjectRef.__new__(shoal.ObjectRef)
    assert repr(ref) == "ObjectRef(closed)"
    for use in (shoal.get, ref.future, ref.hex, ref.__await__, lambda value=ref: shoal.put([value])):
        with pytest.raises((shoal.InvalidReferenceError, TypeError)):
            use(ref) if use is shoal.get else use()


def test_a_driver_that_attaches_again_calls_what_it_called_before(script: Script) -> None:
    context = shoal.init(num_cpus=1)
    other = script(
        """
        import sys, shoal

        @shoal.remote
        def double(n):
            return n * 2

        @shoal.remote
        class Box:
            def held(self):
                return "held"

        for n in range(3):
            with shoal.init(sys.argv[1]):
                print(shoal.get(double.remote(n)), shoal.get(Box.remote().held.remote()))
        """,
        context.address,
    )
    out, err = other.communicate(timeout=60)
    assert out.splitlines() == ["0 held", "2 held", "4 held"], err


def test_a_remote_function_outlives_the_job_that_gave_it(script: Script) -> None:
    context = shoal.init(num_cpus=1, namespace="shared")

    @shoal.remote
    class Keeper:
        def keep(self, function: Any) -> None:
            self.function = function

        def call(self, n: int) -> int:
            return shoal.get(self.function.remote(n))

    keeper = Keeper.options(name="keeper").remote()
    other = script(
        """
        import sys, shoal

        @shoal.remote
        def double(n):
            return n * 2

        with shoal.init(sys.argv[1], namespace="shared"):
            print(shoal.get(double.remote(2)), shoal.get(shoal.get_actor("keeper").keep.remote(double)))
        """,
        context.address,
    )
    out, err = other.communicate(timeout=60)
    assert out.splitlines() == ["4 None"], err
    assert shoal.get(keeper.call.remote(21)) == 42


def test_a_program_may_be_in_a_folder_whose_name_is_no_text(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/caf\xe9"
    os.mkdir(folder)
    with open(folder + b"/near.py", "w") as module:
        module.write("ANSWER = 42")
    with open(folder + b"/program.py", "w") as program:
        program.write(
            "import os, shoal\n"
            "@shoal.remote\n"
            "def look():\n"
            "    import near\n"
            "    return near.ANSWER, os.getcwdb()\n"
            "shoal.init(num_cpus=1)\n"
            "print(shoal.get(look.remote()))\n"
        )
    out = subprocess.run([sys.executable, b"program.py"], cwd=folder, capture_output=True, text=True, timeout=60)
    assert out.stdout == f"{(42, folder)}\n", out.stderr


def test_a_program_may_have_lost_its_folder(script: Script, tmp_path: Path) -> None:
    program = script(
        """
        import os, sys, shoal
        os.mkdir(sys.argv[1])
        os.chdir(sys.argv[1])
        os.rmdir(sys.argv[1])
        sys.path.insert(0, "")
        shoal.init(num_cpus=1)
        print(shoal.get(shoal.remote(lambda x: x + 1).remote(41)))
        """,
        tmp_path / "gone",
    )
    out, err = program.communicate(timeout=60)
    assert out == "42\n", err


def test_a_node_that_cannot_start_says_what_to_change(script: Script) -> None:
    program = script(
        """
        import os, resource, shoal
        for limit, runtime_dir in ((resource.RLIM_INFINITY, "/proc"), (4 << 30, "")):
            resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
            os.environ["XDG_RUNTIME_DIR"] = runtime_dir
            try:
                shoal.init(num_cpus=1, object_store_memory=64 << 20)
            except shoal.NodeStartError as error:
                print([advice for advice in ("XDG_RUNTIME_DIR", "ulimit -v") if advice in str(error)])
        """
    )
    out, err = program.communicate(timeout=60)
    assert out == "['XDG_RUNTIME_DIR']\n['ulimit -v']\n", err

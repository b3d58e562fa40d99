# SPDX-License-Identifier: Apache-2.0
"""`shoal logs`: by name, by pid, and as they come."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from types import ModuleType

from tests.pyfront.cli.conftest import Done
from tests.util.waiting import eventually

from shoal.util.state import list_nodes

Shell = Callable[..., Done]


def test_lines_by_name_and_by_pid(shoal_node: ModuleType, shell: Shell) -> None:
    @shoal_node.remote
    def speak(text: str) -> int:
        print(text)
        return os.getpid()

    @shoal_node.remote
    class Speaker:
        def say(self, text: str) -> None:
            print(text, file=sys.stderr)

    speaker = Speaker.options(name="alice").remote()
    pid = shoal_node.get(speak.remote("one"))
    shoal_node.get(speaker.say.remote("two"))
    eventually(lambda: "two" in shell("logs").output and "one" in shell("logs").output)
    assert shell("logs", "speak").output == f"(speak pid={pid}) one\n"
    assert shell("logs", str(pid)).output == f"(speak pid={pid}) one\n"
    line = json.loads(shell("logs", "alice", "--json").output)
    assert (line["name"], line["text"], line["is_stderr"]) == ("alice", "two", True)
    nothing = shell("logs", "nobody")
    assert (nothing.code, nothing.errors) == (1, "shoal: nothing was printed by nobody\n")
    assert len(shell("logs", "--tail", "1").output.splitlines()) == 1


def test_following_ends_with_the_node(shoal_node: ModuleType) -> None:
    @shoal_node.remote
    def speak(text: str) -> None:
        print(text)

    folder = str(list_nodes(detail=True)[0].runtime_dir)
    follower = subprocess.Popen(
        [sys.executable, "-m", "shoal.cli", "logs", "speak", "--follow", "--address", folder],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert follower.stdout is not None
    try:
        for text in ("first", "second"):
            shoal_node.get(speak.remote(text))
            assert follower.stdout.readline().endswith(f") {text}\n")
    finally:
        shoal_node.shutdown()
        output, errors = follower.communicate(timeout=60)
    assert output == ""
    assert "the node's daemon is gone" in errors.lower()

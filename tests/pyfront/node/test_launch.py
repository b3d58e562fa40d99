# SPDX-License-Identifier: Apache-2.0
"""Starting and finding nodes: what goes wrong is said, and nothing is left of a node that did not start."""

import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from shoal.errors import NodeNotFoundError, NodeStartError
from shoal.link import RequestRefused
from shoal.node import launch
from shoal.node.daemon_process import DaemonProcess, execute_daemon
from shoal.node.launch import Connection, attach_node, start_node
from shoal.node.settings import NodeSettings
from shoal.protocol.messages import AvailableResources, ClusterResources, DefineClass, Hello, ListNodes, Shutdown

STORE_BYTES = 64 << 20
HELLO = Hello(
    pid=os.getpid(),
    python=f"{sys.version_info.major}.{sys.version_info.minor}",
    cwd=os.getcwdb(),
    sys_path=list(map(os.fsencode, sys.path)),
    argv0="",
)


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    os.chmod(tmp_path, 0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def start(request: pytest.FixtureRequest) -> Callable[..., Connection]:
    def start(**settings: object) -> Connection:
        one = NodeSettings(num_cpus=1, object_store_memory=STORE_BYTES)
        connection = start_node(HELLO, execute_daemon(one._replace(**settings)))
        request.addfinalizer(connection.close)
        return connection

    return start


def test_a_node_tells_what_it_has(start: Callable[..., Connection]) -> None:
    link = start(resources={"camera": 2.0}).link
    assert link.request(ClusterResources()).amounts.items() >= {"CPU": 1.0, "camera": 2.0}.items()
    assert link.request(AvailableResources()).amounts["camera"] == 2.0
    (node,) = link.request(ListNodes()).nodes
    assert node.is_alive
    assert node.resources["camera"] == 2.0


def test_an_impossible_demand_is_defined_with_a_warning(start: Callable[..., Connection]) -> None:
    link = start().link
    assert link.request(DefineClass({"CPU": 1.0})).warning is None
    assert "num_cpus" in str(link.request(DefineClass({"CPU": 2.0})).warning)
    assert link.request(DefineClass({"CPU": 1.0})) == link.request(DefineClass({"CPU": 1.0}))


def test_a_demand_of_too_many_kinds_is_refused(start: Callable[..., Connection]) -> None:
    with pytest.raises(RequestRefused, match="demand"):
        start().link.request(DefineClass({f"kind{number}": 1.0 for number in range(20)}))


@pytest.mark.parametrize("by", ["folder", "socket", "auto"])
def test_a_running_node_is_found(start: Callable[..., Connection], by: str) -> None:
    config = start().welcome.config
    address = {"folder": config.runtime_dir, "socket": f"{config.runtime_dir}/daemon.sock", "auto": "auto"}[by]
    guest = attach_node(HELLO, address)
    assert guest.welcome.config == config
    assert not guest.is_starter
    guest.close()


def test_a_daemon_that_is_late_to_answer_ends_its_node_itself(
    start: Callable[..., Connection], runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "ANSWER_TIMEOUT_S", 0.0)
    monkeypatch.setattr(DaemonProcess, "kill", lambda _: pytest.fail("it would have been killed"))
    start().close()
    assert not list(runtime.iterdir())


def test_a_guest_can_not_stop_the_node(start: Callable[..., Connection]) -> None:
    host = start()
    guest = attach_node(HELLO, "auto")
    with pytest.raises(RequestRefused, match="started"):
        guest.link.request(Shutdown())
    guest.close()
    assert host.link.request(ClusterResources()).amounts


def test_a_guest_with_another_python_is_refused(start: Callable[..., Connection]) -> None:
    start()
    with pytest.raises(NodeStartError, match=r"Python 2\.7|2\.7"):
        attach_node(replace(HELLO, python="2.7"), "auto")


def test_a_process_may_not_speak_for_another(start: Callable[..., Connection]) -> None:
    start()
    with pytest.raises(NodeStartError, match="speaks"):
        attach_node(replace(HELLO, pid=1), "auto")


def test_no_node_is_found_where_none_runs(runtime: Path) -> None:
    with pytest.raises(NodeNotFoundError, match=str(runtime)):
        attach_node(HELLO, "auto")
    with pytest.raises(NodeNotFoundError, match="nowhere"):
        attach_node(HELLO, str(runtime / "nowhere"))


def test_a_socket_that_nobody_serves_is_no_node(runtime: Path) -> None:
    path = runtime / "dead.sock"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
    with pytest.raises(NodeNotFoundError, match=r"dead\.sock"):
        attach_node(HELLO, str(path))


def test_a_folder_that_others_may_write_is_refused(runtime: Path) -> None:
    (runtime / "shoal").mkdir()
    (runtime / "shoal").chmod(0o777)
    with pytest.raises(NodeStartError, match="0700"):
        start_node(HELLO, execute_daemon(NodeSettings(num_cpus=1)))


def test_a_daemon_that_fails_says_why(runtime: Path) -> None:
    with pytest.raises(NodeStartError, match="resources"):
        start_node(HELLO, execute_daemon(NodeSettings(resources={f"kind{number}": 1.0 for number in range(100)})))
    assert list(runtime.iterdir()) == []


def test_an_interpreter_that_can_not_be_executed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(NodeStartError, match="/nowhere/python"):
        start_node(HELLO, execute_daemon(NodeSettings(num_cpus=1)))


def test_log_files_are_kept_if_asked_for(
    start: Callable[..., Connection], runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOAL_LOG_DIR", str(runtime / "logs"))
    session = start().welcome.config.session
    assert [path.name for path in (runtime / "logs").iterdir()] == [f"{session}.log"]

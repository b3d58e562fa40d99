# SPDX-License-Identifier: Apache-2.0
"""`ray.init`: which of Ray's arguments mean what."""

import subprocess
import sys
import warnings
from collections.abc import Iterator

import pytest

import shoal
import shoal.compat.ray as ray
from shoal.compat import warning
from shoal.compat.ray.cluster_utils import Cluster
from shoal.compat.ray.job_config import JobConfig


@pytest.fixture(autouse=True)
def disconnected(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(warning, "_said", set())
    yield
    ray.shutdown()


def test_what_init_returns() -> None:
    with ray.init(num_cpus=2, resources={"disk": 3}, namespace="here") as context:
        node = ray.nodes()[0]
        assert context["node_id"] == context.address_info["node_id"] == node["NodeID"] == context.node_id
        assert context["address"] == context.address
        assert (context.dashboard_url, context.namespace) == ("", "here")
        assert node["alive"]
        assert node["NodeManagerAddress"] == ray.util.get_node_ip_address() == "127.0.0.1"
        wanted = {"CPU": 2.0, "disk": 3.0, "node:127.0.0.1": 1.0, "node:__internal_head__": 1.0}
        assert wanted.items() <= ray.cluster_resources().items()
        assert ray.available_resources()["object_store_memory"] > 0
        pinned = ray.remote(resources={"node:127.0.0.1": 0.001})(lambda: "there")
        assert ray.get(pinned.remote()) == "there"
    assert not ray.is_initialized()


def test_what_a_node_does_not_have_is_warned_about_once_by_name() -> None:
    with pytest.warns(shoal.CompatibilityWarning) as found:
        ray.init(num_cpus=1, dashboard_host="0.0.0.0", _system_config={"a": 1}, include_dashboard=False)
    texts = sorted(str(each.message) for each in found)
    assert [text.partition(" has no effect in Shoal: ")[0] for text in texts] == [
        "init(_system_config=...)",
        "init(dashboard_host=...)",
    ]
    assert {each.filename for each in found} == {__file__}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ray.init(ignore_reinit_error=True, dashboard_host="0.0.0.0")


def test_what_asks_for_nothing_is_silent() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ray.init(
            address="local",
            num_cpus=1,
            num_gpus=0,
            include_dashboard=False,
            dashboard_host="127.0.0.1",
            configure_logging=True,
            logging_level="info",
            log_to_driver=True,
            _redis_password="5241590000000000",
            _memory=10**8,
        )
    assert ray.cluster_resources()["memory"] == 10**8


def test_a_first_use_connects_as_init_does(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as changed:
        changed.setenv("RAY_ADDRESS", "10.0.0.1:6379")
        with pytest.raises(ConnectionError, match="is the address of a Ray cluster"):
            ray.put(1)
    assert ray.get(ray.put(1)) == 1
    assert ray.cluster_resources()["node:127.0.0.1"] == 1.0


def test_an_unknown_argument_and_a_second_init() -> None:
    with pytest.raises(TypeError, match="'num_cpu' is not an option of init"):
        ray.init(num_cpu=1)
    ray.init(num_cpus=1)
    with pytest.raises(RuntimeError, match="connected already"):
        ray.init()
    assert (
        ray.init(ignore_reinit_error=True, num_cpus=5, local_mode=True).namespace == ray.get_runtime_context().namespace
    )


@pytest.mark.parametrize("address", ["ray://head:10001", "10.0.0.1:6379"])
def test_a_cluster_elsewhere_is_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConnectionError, match="is the address of a Ray cluster"):
        ray.init(address)
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(ConnectionError, match="is the address of a Ray cluster"):
        ray.init()


def test_a_node_that_runs_already(monkeypatch: pytest.MonkeyPatch) -> None:
    program = (
        "import sys, shoal.compat.ray as ray\n"
        "print(ray.init(*sys.argv[1:])['node_id'], ray.get(ray.remote(lambda: 1).remote()))"
    )
    node_id, folder = ray.init(num_cpus=1)["node_id"], ray.get_runtime_context().gcs_address
    for arguments, variable in (([folder], "UNSET"), ([], "RAY_ADDRESS"), ([], "SHOAL_ADDRESS")):
        with monkeypatch.context() as changed:
            changed.setenv(variable, folder)
            output = subprocess.check_output([sys.executable, "-c", program, *arguments], text=True)
            assert output == f"{node_id} 1\n"
    ray.shutdown()
    with pytest.raises(ValueError, match="num_cpus is a property of the node"):
        ray.init(folder, num_cpus=3)


def test_a_job_s_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_NAMESPACE", "of the environment")
    with ray.init(num_cpus=1) as context:
        assert context.namespace == "of the environment"
    assert ray.init(num_cpus=1, job_config=JobConfig(ray_namespace="ours")).namespace == "ours"
    with pytest.raises(ValueError, match="lifetime='detached'"):
        JobConfig(default_actor_lifetime="detached")
    with pytest.raises(ValueError, match="written in Python"):
        JobConfig(jvm_options=["-Xmx1g"])


def test_a_cluster_of_one_node() -> None:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 3, "resources": {"disk": 1}})
    assert cluster.list_all_nodes() == [cluster.head_node]
    ray.init(address=cluster.address)
    assert {"CPU": 3.0, "disk": 1.0, "node:127.0.0.1": 1.0}.items() <= ray.cluster_resources().items()
    with pytest.raises(shoal.UnsupportedOptionError, match="one node"):
        cluster.add_node(num_cpus=1)
    cluster.shutdown()
    assert not ray.is_initialized()
    assert cluster.address is None
    with pytest.raises(TypeError, match="not num_cpu"):
        cluster.add_node(num_cpu=1)
    with pytest.raises(RuntimeError, match="uninitialized"):
        Cluster(connect=True)


def test_a_cluster_that_connects() -> None:
    cluster = Cluster(initialize_head=True, connect=True)
    assert ray.cluster_resources()["CPU"] == 1.0
    assert cluster.head_node is not None
    cluster.remove_node(cluster.head_node)
    assert not ray.is_initialized()


def test_a_cluster_answers_at_once() -> None:
    cluster = Cluster()
    assert (cluster.gcs_address, cluster.list_all_nodes()) == (None, [])
    node = cluster.add_node(num_cpus=2)
    cluster.wait_for_nodes()
    assert cluster.gcs_address == cluster.address == node.address
    cluster.shutdown()
    cluster.shutdown()
    assert cluster.list_all_nodes() == []


def test_arguments_of_another_type_are_refused_with_their_names() -> None:
    with pytest.raises(TypeError, match="resources must be a dict"):
        ray.init(resources=[1])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="address must be a string"):
        ray.init(address=1)  # type: ignore[arg-type]

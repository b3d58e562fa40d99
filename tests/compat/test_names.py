# SPDX-License-Identifier: Apache-2.0
"""What Ray spells differently: actors' own methods, the pool, joblib, Dask, the state, the context, errors."""

from collections.abc import Iterator
from typing import Any

import pytest

import shoal.compat.ray as ray
from shoal.compat import log_once


@pytest.fixture(autouse=True, scope="module")
def node() -> Iterator[None]:
    ray.init(num_cpus=2, namespace="names")
    yield
    ray.shutdown()


@ray.remote
class Counter:
    """Counts."""

    def __init__(self, start: int = 0) -> None:
        self.n = start

    def increase(self, by: int = 1) -> int:
        self.n += by
        return self.n

    def where(self) -> Any:
        context = ray.get_runtime_context()
        return type(self).__name__, context.actor_id, context.get_actor_id(), sorted(context.get())


def test_methods_that_every_actor_has() -> None:
    counter = Counter.remote(5)
    assert ray.get(counter.__ray_ready__.remote())
    assert ray.get(counter.__ray_call__.remote(lambda self, by: self.increase(by), 2)) == 7
    name, actor_id, text, known = ray.get(counter.where.remote())
    assert (name, actor_id.hex(), known) == ("Counter", text, ["actor_id", "job_id", "node_id", "task_id"])
    with pytest.raises(ray.exceptions.ActorDiedError):
        ray.get(counter.__ray_terminate__.remote())


def test_options_in_parentheses_and_a_subclass() -> None:
    @ray.remote(num_cpus=1)
    class More(Counter):  # type: ignore[misc] # the class that it was made of
        def twice(self) -> int:
            return 2 * super().increase()

    assert ray.get(More.remote(1).twice.remote()) == 4
    assert ray.get(ray.remote(num_returns=2)(lambda: (1, 2)).remote()) == [1, 2]


def test_task_events_are_an_option_without_effect() -> None:
    @ray.remote(enable_task_events=False)
    class Quiet:
        @ray.method(enable_task_events=True)
        def answer(self) -> int:
            return 42

    assert ray.get(Quiet.remote().answer.remote()) == 42
    assert ray.get(ray.remote(enable_task_events=False)(lambda: 1).remote()) == 1


def test_parameters_by_ray_s_names() -> None:
    ref = ray.remote(lambda: 1).remote()
    assert ray.wait(ray_waitables=[ref]) == ([ref], [])
    assert ray.get(object_refs=[ref], timeout=10) == [1]
    ray.cancel(ray_waitable=ref)


def test_an_error_under_ray_s_names() -> None:
    @ray.remote
    def fail() -> None:
        raise KeyError("missing")

    with pytest.raises(ray.exceptions.RayTaskError) as found:
        ray.get(fail.remote())
    error = found.value
    assert isinstance(error, KeyError)
    assert error.as_instanceof_cause() is error
    assert error.function_name == error.task_name
    assert "KeyError" in error.traceback_str


def test_the_pool() -> None:
    from shoal.compat.ray.util.multiprocessing import Pool

    with Pool(2, ray_remote_args={"num_cpus": 0.5}) as pool:
        assert pool.map(abs, [-1, 2]) == [1, 2]
        assert pool.apply(int, kwargs={"base": 2}, args=("11",)) == 3
        assert pool.apply_async(int, ("7",)).get(timeout=30) == 7


def test_joblib() -> None:
    joblib = pytest.importorskip("joblib")
    from shoal.compat.ray.util.joblib import register_ray

    register_ray()
    with joblib.parallel_config(backend="ray", n_jobs=2, ray_remote_args={"num_cpus": 1}):
        assert joblib.Parallel()(joblib.delayed(abs)(-n) for n in range(4)) == [0, 1, 2, 3]


def test_dask() -> None:
    dask = pytest.importorskip("dask")
    from shoal.compat.ray.util.dask import disable_dask_on_ray, enable_dask_on_ray, ray_dask_get

    three = dask.delayed(sum)([dask.delayed(abs)(-1), 2])
    assert dask.compute(three, scheduler=ray_dask_get) == (3,)
    with enable_dask_on_ray():
        assert dask.config.get("scheduler") is ray_dask_get
        held = dask.delayed(lambda: ray.get_runtime_context().get_assigned_resources())()
        assert held.compute(ray_remote_args={"num_cpus": 2}) == {"CPU": 2.0}
        assert three.compute() == 3
        with disable_dask_on_ray():
            assert dask.config.get("scheduler") is None


def test_the_state_takes_what_ray_s_takes() -> None:
    counter = Counter.options(name="listed").remote()
    ray.get(counter.increase.remote())
    rows = ray.util.state.list_actors(filters=[("name", "=", "listed")], raise_on_missing_output=False)
    assert [row.state for row in rows] == ["ALIVE"]
    assert not hasattr(ray.util.state, "nonsense")


def test_the_context() -> None:
    context = ray.get_runtime_context()
    assert (context.task_id, context.actor_id) == (None, None)
    assert context.node_id == ray.NodeID.from_hex(context.get_node_id())
    assert context.job_id.hex() == context.get_job_id()
    assert context.gcs_address == context.get_temp_dir()
    assert isinstance(context, ray.runtime_context.RuntimeContext)


def test_an_actor_s_handle_to_itself() -> None:
    @ray.remote(max_concurrency=2)
    class Selfish:
        def ask_myself(self) -> int:
            return int(ray.get(ray.get_runtime_context().current_actor.answer.remote()))

        def answer(self) -> int:
            return 42

    assert ray.get(Selfish.options(name="selfish").remote().ask_myself.remote()) == 42
    assert ray.get(Selfish.remote().ask_myself.remote()) == 42
    with pytest.raises(RuntimeError, match="no actor does"):
        _ = ray.get_runtime_context().current_actor


def test_ids() -> None:
    one = ray.ActorID.from_hex("0a0b")
    assert (one.hex(), one.binary(), repr(one)) == ("0a0b", b"\n\x0b", "ActorID(0a0b)")
    assert one == ray.ActorID(b"\n\x0b")
    assert hash(one) == hash(ray.ActorID(b"\n\x0b"))
    assert one != ray.NodeID.from_hex("0a0b")
    assert ray.NodeID.nil().is_nil()
    with pytest.raises(TypeError, match="from_hex"):
        ray.NodeID("0a0b")


def test_marks_change_nothing() -> None:
    from shoal.compat.ray.util.annotations import Deprecated, DeveloperAPI, PublicAPI

    @PublicAPI(stability="beta")
    @DeveloperAPI
    @Deprecated(message="soon")
    def marked() -> int:
        return 1

    assert (marked(), marked.__name__) == (1, "marked")


def test_what_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_once, "_said", {})
    monkeypatch.setattr(log_once, "_is_disabled", False)
    assert [ray.util.log_once("a"), ray.util.log_once("a"), ray.util.log_once("b")] == [True, False, True]
    log_once.reset_log_once("a")
    assert ray.util.log_once("a")
    log_once.reset_log_once()
    ray.util.disable_log_once_globally()
    assert not ray.util.log_once("b")


def test_nobody_uses_ray_client() -> None:
    assert not ray.util.client.ray.is_connected()
    assert ray.util.client.num_connected_contexts() == 0
    assert not isinstance(ray.put(1), ray.util.client.common.ClientObjectRef)
    assert not isinstance(Counter.remote(), ray.util.client.common.ClientActorHandle)
    with pytest.raises(ConnectionError, match="no Ray Client"):
        ray.util.client.ray.connect("head:10001")

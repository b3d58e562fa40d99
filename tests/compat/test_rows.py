# SPDX-License-Identifier: Apache-2.0
"""What rows of docs/coming-from-ray.md promise and no test of Shoal's own parts shows: constants, settings of a job,
the context inside of a call, ids, options that are refused."""

import multiprocessing
import warnings
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

import shoal
import shoal.compat.ray as ray
from shoal.compat import log_once, warning
from shoal.compat.connection import IN_VAIN, _options
from shoal.compat.ray.job_config import JobConfig
from shoal.compat.ray.util.multiprocessing import JoinableQueue, Pool
from shoal.compat.ray.util.multiprocessing.pool import AsyncResult, IMapIterator
from shoal.compat.ray.util.placement_group import PlacementGroup, remove_placement_group

IDS = ["ActorClassID", "ActorID", "FunctionID", "JobID", "NodeID", "TaskID", "UniqueID", "WorkerID"]


@pytest.fixture(scope="module")
def context() -> Iterator[Any]:
    with ray.init(num_cpus=2, namespace="rows") as made:
        yield made


@pytest.fixture
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warning, "_said", set())


# -- the connection


def test_modes_are_numbers_and_a_context_is_what_libraries_ask_for(context: Any) -> None:
    assert (ray.SCRIPT_MODE, ray.WORKER_MODE, ray.LOCAL_MODE) == (0, 1, 2)
    assert isinstance(context, ray._private.worker.BaseContext)


@pytest.mark.parametrize("name", sorted(IN_VAIN))
@pytest.mark.usefixtures("nothing_said")
def test_an_argument_about_what_is_not_there_warns_once_by_name(name: str) -> None:
    neutral, why = IN_VAIN[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [_options({name: value}) for value in neutral] == [{}] * len(neutral)
    with pytest.warns(shoal.CompatibilityWarning) as found:
        assert _options({name: "something"}) == _options({name: "something"}) == {}
    assert [str(each.message) for each in found] == [f"init({name}=...) has no effect in Shoal: {why}"]


def test_arguments_of_ray_under_shoal_s_names() -> None:
    given = {"_memory": 10, "_metrics_export_port": 0, "_object_spilling_directory": "/tmp"}
    wanted = {"memory": 10, "metrics_export_port": 0, "object_spilling_directory": "/tmp"}
    assert _options(given) == wanted


@pytest.mark.usefixtures("nothing_said")
def test_a_logging_config_is_taken_and_warned_about() -> None:
    with pytest.warns(shoal.CompatibilityWarning, match="logging_config"):
        assert _options({"logging_config": ray.LoggingConfig(encoding="JSON", log_level="DEBUG")}) == {}


def test_settings_of_a_job() -> None:
    config = JobConfig(metadata={"a": "1"})
    config.set_metadata("b", "2")
    config.set_runtime_env({"env_vars": {"X": "1"}})
    config.set_ray_namespace("ours")
    config.set_default_actor_lifetime("non_detached")
    assert config.metadata == {"a": "1", "b": "2"}
    assert (config.runtime_env, config.ray_namespace) == ({"env_vars": {"X": "1"}}, "ours")
    with pytest.raises(ValueError, match="lifetime='detached'"):
        config.set_default_actor_lifetime("detached")


# -- tasks, actors, objects


def test_what_a_decorator_makes_and_a_handle_has(context: Any) -> None:
    @ray.remote
    def one() -> int:
        return 1

    @ray.remote
    class Pair:
        @ray.actor.method(num_returns=2)
        def both(self) -> tuple[int, int]:
            return 1, 2

    assert isinstance(one, ray.remote_function.RemoteFunction)
    assert isinstance(one.options(num_cpus=1), ray.remote_function.RemoteFunction)
    assert isinstance(Pair, ray.actor.ActorClass)
    pair = Pair.remote()
    assert isinstance(pair, ray.actor.ActorHandle)
    assert isinstance(pair.both, ray.actor.ActorMethod)
    assert ray.get(pair.both.remote()) == [1, 2]
    ref = one.remote()
    assert all(isinstance(ref, kind) for kind in (ray.ObjectID, ray.types.ObjectRef, ray._raylet.ObjectRef))
    assert ray.get(ref) == 1


def test_an_actor_s_class_may_be_derived_from() -> None:
    class Base:
        pass

    remote = ray.remote(Base)
    assert issubclass(type("Derived", remote.__mro_entries__(()), {}), Base)
    assert issubclass(ray.actor.ActorClassInheritanceException, TypeError)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("_actor_generator_backpressure_num_objects", 4),
        ("_labels", {"a": "b"}),
        ("_num_objects_per_yield", 2),
        ("accelerator_type", "A100"),
        ("allow_out_of_order_execution", True),
        ("enable_tensor_transport", True),
        ("fallback_strategy", [{"label_selector": {"a": "b"}}]),
        ("object_store_memory", 10**9),
        ("tensor_transport", "NCCL"),
    ],
)
def test_an_option_that_is_not_there_is_refused_with_advice_and_none_is_no_option(option: str, value: object) -> None:
    for made in (lambda **options: ray.remote(**options)(abs), lambda **options: ray.remote(**options)(dict)):
        made(**{option: None})
        with pytest.raises(shoal.UnsupportedOptionError, match=f"^{option}=.*; .") as found:
            made(**{option: value})
        assert found.value.option == option
    with pytest.raises(shoal.UnsupportedOptionError, match=option):
        ray.method(**{option: value})


def test_a_method_lists_the_exceptions_that_are_retried_and_a_call_says_yes_or_no(context: Any) -> None:
    @ray.remote(max_task_retries=2)
    class Flaky:
        def __init__(self) -> None:
            self.n = 0

        @ray.method(retry_exceptions=[KeyError])
        def third(self) -> int:
            self.n += 1
            return [1, 2, 3].pop({3: 0}[self.n])

    assert ray.get(Flaky.remote().third.remote()) == 1
    with pytest.raises(KeyError):
        ray.get(Flaky.remote().third.options(retry_exceptions=False).remote())
    with pytest.raises(shoal.UnsupportedOptionError, match="with @method"):
        Flaky.remote().third.options(retry_exceptions=[KeyError])


def test_an_object_has_no_owner() -> None:
    with pytest.raises(TypeError, match="_owner"):
        ray.put(1, _owner=None)


# -- the node


def test_the_context_inside_of_a_task(context: Any) -> None:
    @ray.remote
    def look() -> list[Any]:
        here = ray.get_runtime_context()
        return [
            here.get_task_function_name(),
            here.get_task_name(),
            here.get_accelerator_ids(),
            here.get_resource_ids(),
            here.get_session_name(),
            here.get_temp_dir(),
            len(bytes.fromhex(here.get_worker_id())),
            here.task_id == ray.TaskID.from_hex(here.get_task_id()),
            here.was_current_actor_reconstructed,
            here.is_canceled(),
        ]

    driver = ray.get_runtime_context()
    none: dict[str, list[str]] = {"GPU": []}
    assert ray.get(look.remote()) == [
        *("look", "look", none, none, driver.get_session_name(), driver.get_temp_dir(), 12, True, False, False)
    ]
    assert ray.util.get_node_instance_id() == driver.get_node_id() == context["node_id"]
    assert ray.util.get_node_ip_address() == ray._private.services.get_node_ip_address() == "127.0.0.1"


@pytest.mark.parametrize("name", IDS)
def test_an_id_is_bytes_with_a_class(name: str) -> None:
    kind = getattr(ray, name)
    one = kind.from_hex("0a0b")
    assert (one.hex(), one.binary(), one.is_nil()) == ("0a0b", b"\n\x0b", False)
    assert kind.nil().is_nil()
    assert one == kind(b"\n\x0b")


def test_a_placement_group_has_an_id(context: Any) -> None:
    group = ray.util.placement_group([{"CPU": 1}])
    assert isinstance(group.id, ray.PlacementGroupID)
    assert group.id == ray.PlacementGroupID.from_hex(group.id.hex())
    assert ray.PlacementGroupID.nil().is_nil()
    with pytest.raises(TypeError, match="from_hex"):
        ray.PlacementGroupID("0a0b")
    assert PlacementGroup.empty().is_empty
    assert (group.bundle_count, group.bundle_specs, group.is_empty) == (1, [{"CPU": 1}], False)
    remove_placement_group(group)


# -- utilities


def test_a_pool_of_ray_s_gives_its_results(context: Any) -> None:
    with Pool(1) as pool:
        result = pool.starmap_async(pow, [(2, 3), (3, 2)])
        values = pool.imap(abs, [-1])
        assert isinstance(result, AsyncResult)
        assert isinstance(values, IMapIterator)
        assert (result.get(timeout=60), result.successful(), values.next(timeout=60)) == ([8, 9], True, 1)
    assert JoinableQueue is multiprocessing.JoinableQueue


def test_what_was_said_a_minute_ago_is_said_again(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(log_once, "_said", {})
    monkeypatch.setattr(log_once, "_is_disabled", False)
    monkeypatch.setattr(log_once, "_is_periodic", False)
    monkeypatch.setattr(log_once, "time", SimpleNamespace(monotonic=lambda: now[0]))
    assert [ray.util.log_once("a"), ray.util.debug.log_once("a")] == [True, False]
    ray.util.enable_periodic_logging()
    now[0] += 59
    assert not ray.util.log_once("a")
    now[0] += 1
    assert ray.util.log_once("a")
    ray.util.debug.reset_log_once()
    assert ray.util.log_once("a")


def test_marks_and_their_warning() -> None:
    annotations = ray.util.annotations
    assert annotations.PublicAPI(abs) is annotations.DeveloperAPI(abs) is annotations.Deprecated(abs) is abs
    assert issubclass(annotations.RayDeprecationWarning, DeprecationWarning)


def test_what_cannot_be_shipped_is_a_tuple_of_facts() -> None:
    can, failures = ray.util.check_serialize.inspect_serializability({"lock": multiprocessing.Lock()}, name="it")
    assert not can
    failure = failures.pop()
    assert isinstance(failure, ray.util.check_serialize.FailureTuple)
    assert failure.path.startswith("it['lock']")


def test_an_unreachable_node_is_an_error_of_the_state() -> None:
    errors = ray.util.state.exception
    with pytest.raises(errors.RayStateApiException):
        ray.util.state.list_tasks(address="/nowhere")
    with pytest.raises(errors.ServerUnavailable):
        ray.util.state.get_task("00", address="/nowhere")
    assert issubclass(errors.DataSourceUnavailable, Exception)


def test_a_reduction_and_a_backend_have_names() -> None:
    types = ray.util.collective.types
    assert [op.name for op in types.ReduceOp] == ["SUM", "PRODUCT", "MIN", "MAX", "AVERAGE"]
    assert [op.value for op in types.ReduceOp] == [0, 1, 2, 3, 4]
    assert (types.Backend.SHM, types.Backend.GLOO) == ("shm", "gloo")

# SPDX-License-Identifier: Apache-2.0
"""Options are checked where they are written: good ones merge, bad ones name themselves."""

from typing import Any

import pytest

from shoal.errors import UnsupportedOptionError
from shoal.task.actor_shape import MethodShape
from shoal.task.options import (
    MAX_COUNT,
    ActorOptions,
    TaskOptions,
    check_init,
    merge_actor,
    merge_method,
    merge_task,
)


def test_defaults_are_those_of_ray() -> None:
    assert TaskOptions() == TaskOptions(
        num_cpus=1, num_gpus=0, resources={}, memory=0, num_returns=None, max_items_ahead=None, max_retries=3, name=None
    )
    assert ActorOptions().demands() == {}
    assert TaskOptions().demands() == {"CPU": 1.0}


def test_later_options_win_and_the_rest_stays() -> None:
    merged = merge_task(merge_task(TaskOptions(), {"num_cpus": 2, "name": "a"}), {"num_cpus": 0.5})
    assert (merged.num_cpus, merged.name) == (0.5, "a")


def test_demands_hold_every_kind_without_zeros() -> None:
    merged = merge_task(TaskOptions(), {"num_cpus": 0, "num_gpus": 0.5, "memory": 1024, "resources": {"disk": 2}})
    assert merged.demands() == {"GPU": 0.5, "memory": 1024.0, "disk": 2.0}


def test_none_asks_for_the_default() -> None:
    assert merge_task(TaskOptions(), {"num_cpus": None, "resources": None}) == TaskOptions()


@pytest.mark.parametrize(
    ("option", "value", "error"),
    [
        ("num_cpus", -1, ValueError),
        ("num_cpus", "2", TypeError),
        ("num_cpus", True, TypeError),
        ("num_cpus", float("nan"), ValueError),
        ("num_cpus", 0.0001, ValueError),
        ("num_gpus", 1.5, ValueError),
        ("resources", {"CPU": 1}, ValueError),
        ("resources", {"disk": -1}, ValueError),
        ("resources", [("disk", 1)], TypeError),
        ("num_returns", -1, ValueError),
        ("num_returns", 1.5, TypeError),
        ("max_retries", -2, ValueError),
        ("max_retries", 1 << 70, ValueError),
        ("num_cpus", 10**400, ValueError),
        ("name", 7, TypeError),
        ("num_cpu", 1, TypeError),
    ],
)
def test_a_bad_task_option_is_refused_by_name(option: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=option.split("[")[0] if option != "resources" else "CPU|resource"):
        merge_task(TaskOptions(), {option: value})


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("accelerator_type", "A100"),
        ("allow_out_of_order_execution", True),
    ],
)
def test_a_task_option_of_a_later_release_is_refused_at_once(option: str, value: Any) -> None:
    with pytest.raises(UnsupportedOptionError, match=option) as caught:
        merge_task(TaskOptions(), {option: value})
    assert caught.value.option == option


@pytest.mark.parametrize(
    ("option", "value"),
    [("accelerator_type", "A100"), ("allow_out_of_order_execution", True)],
)
def test_an_actor_option_of_a_later_release_is_refused_at_once(option: str, value: Any) -> None:
    with pytest.raises(UnsupportedOptionError, match=option):
        merge_actor(ActorOptions(), {option: value})


@pytest.mark.parametrize(
    ("option", "value"),
    [("accelerator_type", None), ("allow_out_of_order_execution", None), ("allow_out_of_order_execution", False)],
)
def test_a_later_option_that_asks_for_nothing_is_accepted(option: str, value: Any) -> None:
    assert merge_task(TaskOptions(), {option: value}) == TaskOptions()


@pytest.mark.parametrize("value", ["all", [1], [ValueError()], ValueError])
def test_what_is_retried_is_a_list_of_exception_types(value: Any) -> None:
    with pytest.raises(TypeError, match="retry_exceptions"):
        merge_task(TaskOptions(), {"retry_exceptions": value})


def test_get_if_exists_needs_a_name() -> None:
    with pytest.raises(ValueError, match="name"):
        merge_actor(ActorOptions(), {"get_if_exists": True})


@pytest.mark.parametrize(
    ("option", "value"),
    [("max_concurrency", 0), ("max_concurrency", 1 << 70), ("max_restarts", 1 << 70), ("name", ""), ("namespace", "")],
)
def test_a_bad_actor_option_is_refused(option: str, value: Any) -> None:
    with pytest.raises((ValueError, TypeError), match=option):
        merge_actor(ActorOptions(), {option: value})


@pytest.mark.parametrize("option", ["max_retries", "max_calls", "num_returns"])
def test_a_count_of_a_task_is_bounded(option: str) -> None:
    with pytest.raises(ValueError, match=f"{option} must be at most"):
        merge_task(TaskOptions(), {option: 2**32 - 1})


@pytest.mark.parametrize(
    "option", ["max_restarts", "max_task_retries", "max_concurrency", "max_pending_calls", "checkpoint_every"]
)
def test_a_count_of_an_actor_is_bounded(option: str) -> None:
    assert getattr(merge_actor(ActorOptions(), {option: MAX_COUNT}), option) == MAX_COUNT
    with pytest.raises(ValueError, match=f"{option} must be at most"):
        merge_actor(ActorOptions(), {option: MAX_COUNT + 1})


def test_method_takes_its_options_only() -> None:
    assert merge_method(MethodShape(), {"num_returns": 2}) == MethodShape(num_returns=2)
    streams = MethodShape(num_returns="streaming", max_items_ahead=3)
    assert merge_method(MethodShape(), {"num_returns": "streaming", "max_items_ahead": 3}) == streams
    assert merge_method(MethodShape(num_returns="streaming"), {"max_items_ahead": 3}) == streams
    assert merge_method(streams, {"_generator_backpressure_num_objects": -1}) == MethodShape(num_returns="streaming")
    assert merge_method(streams, {"num_returns": 2}) == MethodShape(num_returns=2)
    with pytest.raises(TypeError, match="num_cpus"):
        merge_method(MethodShape(), {"num_cpus": 2})


def test_init_refuses_unknown_options_and_accepts_idle_ones() -> None:
    check_init({"include_dashboard": False, "job_config": None}, 2, None, None, None, None)
    with pytest.raises(TypeError, match="num_cpu"):
        check_init({"num_cpu": 1}, None, None, None, None, None)
    with pytest.raises(UnsupportedOptionError, match="include_dashboard"):
        check_init({"include_dashboard": True}, None, None, None, None, None)
    with pytest.raises(ValueError, match="whole number"):
        check_init({}, 1.5, None, None, None, None)
    with pytest.raises(ValueError, match="memory must be a positive"):
        check_init({}, None, None, None, None, None, 0)
    for store_bytes in (0, 1, 2**63):
        with pytest.raises(ValueError, match="object_store_memory"):
            check_init({}, None, None, None, store_bytes, None)
    for cpus, gpus in ((1025, None), (1 << 70, None), (None, 33)):
        with pytest.raises(ValueError, match="at most"):
            check_init({}, cpus, gpus, None, None, None)

# SPDX-License-Identifier: Apache-2.0
"""joblib's Parallel over tasks."""

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import shoal

joblib = pytest.importorskip("joblib")

pytestmark = pytest.mark.usefixtures("node")


@pytest.fixture(autouse=True)
def backend() -> Iterator[None]:
    from shoal.util.joblib import register_shoal

    register_shoal()
    with joblib.parallel_config(backend="shoal", n_jobs=-1):
        yield


def square(n: int) -> int:
    return n * n


def invert(x: int) -> float:
    return 1 / x


def look(array: "np.ndarray[Any, Any]", row: int) -> tuple[int, bool]:
    return int(array[row].sum()), bool(array.flags.writeable)


def nested(n: int) -> int:
    return sum(joblib.Parallel(n_jobs=2)(joblib.delayed(square)(i) for i in range(n)))


def test_calls_run_on_workers() -> None:
    assert joblib.Parallel()(joblib.delayed(square)(n) for n in range(200)) == [n * n for n in range(200)]
    assert os.getpid() not in joblib.Parallel()(joblib.delayed(os.getpid)() for _ in range(4))


def test_functions_without_a_module_run_too() -> None:
    assert joblib.Parallel()(joblib.delayed(lambda n: n + 1)(n) for n in range(5)) == [1, 2, 3, 4, 5]


def test_all_cpus_of_the_node_are_used() -> None:
    assert joblib.effective_n_jobs(-1) == 2
    assert joblib.effective_n_jobs(-2) == 1
    assert joblib.effective_n_jobs(3) == 3


def test_large_arrays_are_read_in_place() -> None:
    array = np.arange(100_000).reshape(10, 10_000)
    seen = joblib.Parallel()(joblib.delayed(look)(array, row=row) for row in range(10))
    assert seen == [(int(array[row].sum()), False) for row in range(10)]


def test_an_error_ends_the_call_and_the_next_one_works() -> None:
    with joblib.Parallel() as parallel:
        with pytest.raises(ZeroDivisionError):
            parallel(joblib.delayed(invert)(n) for n in (1, 0, 2))
        assert parallel(joblib.delayed(square)(n) for n in range(3)) == [0, 1, 4]


def test_results_can_be_generated() -> None:
    for kind in ("generator", "generator_unordered"):
        results = joblib.Parallel(return_as=kind)(joblib.delayed(square)(n) for n in range(20))
        assert sorted(results) == [n * n for n in range(20)]


def test_calls_may_be_nested() -> None:
    assert joblib.Parallel()(joblib.delayed(nested)(n) for n in range(4)) == [0, 0, 1, 5]


def test_parameters_are_options_of_the_tasks() -> None:
    with joblib.parallel_config(backend="shoal", num_cpus=2):
        assert joblib.Parallel(n_jobs=2)(joblib.delayed(resources)() for _ in range(2)) == [2.0, 2.0]


def resources() -> float:
    return shoal.get_runtime_context().get_assigned_resources()["CPU"]

# SPDX-License-Identifier: Apache-2.0
"""Tasks: arguments, returns, options, and what they may capture."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import shoal


@pytest.fixture(scope="module", autouse=True)
def node() -> Iterator[None]:
    shoal.init(num_cpus=2, resources={"token": 1})
    yield
    shoal.shutdown()


@shoal.remote
def add(a: Any, b: Any = 1) -> Any:
    return a + b


def test_positional_and_keyword_arguments_arrive() -> None:
    assert shoal.get(add.remote(1)) == 2
    assert shoal.get(add.remote(1, 2)) == 3
    assert shoal.get(add.remote(b=5, a=1)) == 6

    @shoal.remote
    def everything(a: int, /, b: int, *rest: int, c: int, **others: int) -> Any:
        return a, b, rest, c, others

    assert shoal.get(everything.remote(1, 2, 3, 4, c=5, d=6)) == (1, 2, (3, 4), 5, {"d": 6})


def test_refs_at_top_level_are_resolved_before_the_task_runs() -> None:
    assert shoal.get(add.remote(add.remote(1), b=add.remote(2))) == 5
    assert shoal.get(add.remote(shoal.put([1]), [2])) == [1, 2]


def test_refs_inside_values_stay_refs() -> None:
    @shoal.remote
    def inside(refs: dict[str, Any]) -> Any:
        assert isinstance(refs["x"], shoal.ObjectRef)
        return shoal.get(refs["x"])

    assert shoal.get(inside.remote({"x": shoal.put(7)})) == 7


def test_a_ref_that_is_returned_inside_a_value_is_usable() -> None:
    @shoal.remote
    def outer() -> Any:
        return [add.remote(1), shoal.put("put by the worker")]

    first, second = shoal.get(outer.remote())
    assert (shoal.get(first), shoal.get(second)) == (2, "put by the worker")


@pytest.mark.parametrize("count", [2, 3, 100])
def test_several_returns_come_as_a_list_of_refs(count: int) -> None:
    @shoal.remote(num_returns=count)
    def several() -> Any:
        return list(range(count))

    refs = several.remote()
    assert len(refs) == count
    assert shoal.get(refs) == list(range(count))


def test_no_returns_give_none() -> None:
    @shoal.remote(num_returns=0)
    def nothing(path: str) -> None:
        with open(path, "w") as file:
            file.write("ran")

    assert nothing.remote(os.devnull) is None


def test_a_generator_with_a_fixed_number_of_returns_yields_them() -> None:
    @shoal.remote(num_returns=3)
    def count() -> Any:
        yield from range(3)

    assert shoal.get(count.remote()) == [0, 1, 2]


def test_options_change_one_call() -> None:
    @shoal.remote
    def pair() -> Any:
        return 1, 2

    assert shoal.get(pair.options(num_returns=2).remote()) == [1, 2]
    assert shoal.get(pair.remote()) == (1, 2)


def test_the_name_of_a_task_is_its_functions_unless_given() -> None:
    @shoal.remote
    def name() -> Any:
        return shoal.get_runtime_context().get_task_name()

    assert shoal.get(name.remote()).endswith("name")
    assert shoal.get(name.options(name="another").remote()) == "another"


def test_closures_and_lambdas_are_shipped() -> None:
    base = 10
    assert shoal.get(shoal.remote(lambda x: x + base).remote(1)) == 11


def test_a_function_may_call_itself() -> None:
    @shoal.remote
    def factorial(n: int) -> int:
        return 1 if n == 0 else n * shoal.get(factorial.remote(n - 1))

    assert shoal.get(factorial.remote(6)) == 720


def test_functions_may_call_each_other() -> None:
    @shoal.remote
    def even(n: int) -> bool:
        return True if n == 0 else shoal.get(odd.remote(n - 1))

    @shoal.remote
    def odd(n: int) -> bool:
        return False if n == 0 else shoal.get(even.remote(n - 1))

    assert shoal.get(even.remote(5)) is False


def test_remote_functions_can_be_passed_as_values() -> None:
    @shoal.remote
    def apply(function: Any, x: int) -> Any:
        return shoal.get(function.remote(x))

    assert shoal.get(apply.remote(add, 41)) == 42


def test_builtins_and_importable_functions_can_be_tasks() -> None:
    assert shoal.get(shoal.remote(len).remote([1, 2])) == 2
    assert shoal.get(shoal.remote(os.path.basename).remote("/a/b")) == "b"


def test_tasks_run_in_other_processes_and_workers_are_reused() -> None:
    @shoal.remote
    def pid() -> int:
        return os.getpid()

    pids = {shoal.get(pid.remote()) for _ in range(20)}
    assert os.getpid() not in pids
    assert len(pids) < 20


@pytest.mark.parametrize("num_cpus", [0, 0.5, 1, 2])
def test_every_cpu_demand_that_fits_runs(num_cpus: float) -> None:
    assert shoal.get([add.options(num_cpus=num_cpus).remote(i) for i in range(4)]) == [1, 2, 3, 4]


def test_custom_resources_limit_how_many_run_at_once(tmp_path: Path) -> None:
    @shoal.remote(num_cpus=0, resources={"token": 1})
    def alone(path: str) -> bool:
        flag = Path(path)
        if flag.exists():
            return False
        flag.touch()
        threading.Event().wait(0.01)
        flag.unlink()
        return True

    assert all(shoal.get([alone.remote(str(tmp_path / "flag")) for _ in range(10)]))


def test_an_impossible_demand_warns_at_once() -> None:
    with pytest.warns(shoal.InfeasibleResourcesWarning, match="CPU"):
        add.options(num_cpus=64).remote(1)


def test_a_task_whose_worker_dies_is_run_again(tmp_path: Path) -> None:
    @shoal.remote(max_retries=1)
    def die_once(path: str) -> str:
        if not os.path.exists(path):
            Path(path).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return "second"

    assert shoal.get(die_once.remote(str(tmp_path / "tried"))) == "second"


def test_a_two_cpu_task_gets_its_turn_beside_a_stream_of_one_cpu_tasks() -> None:
    @shoal.remote
    def small() -> None:
        threading.Event().wait(0.002)

    stream = [small.remote() for _ in range(50)]
    wide = add.options(num_cpus=2).remote(1)
    while True:
        done, _ = shoal.wait([wide], timeout=0)
        if done:
            break
        shoal.get(stream.pop(0))
        stream.append(small.remote())
    assert shoal.get(wide) == 2
    shoal.get(stream)


def test_ten_thousand_arguments_and_three_thousand_returns() -> None:
    @shoal.remote
    def total(*numbers: int) -> int:
        return sum(numbers)

    refs = [shoal.put(1) for _ in range(10_000)]
    assert shoal.get(total.remote(*refs)) == 10_000

    @shoal.remote(num_returns=3_000)
    def many() -> Any:
        return range(3_000)

    assert shoal.get(many.remote()) == list(range(3_000))


def test_many_tasks_give_every_value_once() -> None:
    assert shoal.get([add.remote(i) for i in range(20_000)]) == list(range(1, 20_001))


def test_submission_from_several_threads() -> None:
    results: list[list[int]] = []

    def submit(base: int) -> None:
        results.append(shoal.get([add.remote(base + i) for i in range(500)]))

    threads = [threading.Thread(target=submit, args=(1000 * n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [[1000 * n + i + 1 for i in range(500)] for n in range(4)]


def test_a_remote_function_cannot_be_called_directly() -> None:
    with pytest.raises(TypeError, match=r"add\.remote"):
        add(1)
    assert add.__wrapped__(1) == 2


def test_async_functions_are_refused_at_decoration() -> None:
    async def coroutine() -> None: ...

    async def stream() -> Any:
        yield 1

    for function in (coroutine, stream):
        with pytest.raises(TypeError, match="async"):
            shoal.remote(function)


def test_runtime_context_tells_where_code_runs() -> None:
    @shoal.remote
    def context() -> Any:
        here = shoal.get_runtime_context()
        return here.get_job_id(), here.get_node_id(), here.get_task_id(), here.get_actor_id(), here.get_worker_id()

    driver = shoal.get_runtime_context()
    job, node_id, task_id, actor_id, worker_id = shoal.get(context.remote())
    assert (job, node_id, actor_id) == (driver.get_job_id(), driver.get_node_id(), None)
    assert len(task_id) == 32
    assert worker_id != driver.get_worker_id()
    assert driver.get_task_id() is None


def test_assigned_resources_are_those_demanded() -> None:
    @shoal.remote
    def resources() -> Any:
        return shoal.get_runtime_context().get_assigned_resources()

    assert shoal.get(resources.remote()) == {"CPU": 1}
    assert shoal.get(resources.options(num_cpus=0.5, resources={"token": 1}).remote()) == {"CPU": 0.5, "token": 1}
    assert shoal.get_runtime_context().get_assigned_resources() == {}

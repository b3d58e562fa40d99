# SPDX-License-Identifier: Apache-2.0
"""Amounts survive the way to the core's numbers and back; what can not be met is said with numbers and advice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.memory import MIB
from shoal.node.resources import Ledger, Machine, detect, from_milli, node_capacity, to_milli
from shoal.node.settings import NodeSettings, from_argument, to_argument

MACHINE = Machine(n_cpus=4, n_gpus=1, memory_bytes=1000 * MIB)


def test_by_default_the_node_has_what_the_machine_has() -> None:
    capacity, store = node_capacity(NodeSettings(), MACHINE)
    assert store == 300 * MIB
    assert capacity == {"CPU": 4.0, "GPU": 1.0, "memory": float(700 * MIB)}


def test_settings_win_and_zero_is_a_setting() -> None:
    settings = NodeSettings(num_cpus=0, num_gpus=0, resources={"camera": 2.0}, object_store_memory=100 * MIB)
    capacity, store = node_capacity(from_argument(to_argument(settings)), MACHINE)
    assert store == 100 * MIB
    assert capacity == {"CPU": 0.0, "memory": float(900 * MIB), "camera": 2.0}
    capacity, _ = node_capacity(from_argument(to_argument(NodeSettings(memory=5 * MIB))), MACHINE)
    assert capacity["memory"] == float(5 * MIB)


def test_a_shape_names_kinds_by_number_and_keeps_them() -> None:
    ledger = Ledger({"CPU": 4.0, "memory": 64.0 * MIB, "camera": 2.0})
    shape = ledger.shape({"CPU": 0.5, "GPU": 2.0, "camera": 1.0, "lidar": 1.0})
    assert (shape.cpu_milli, shape.gpu_milli) == (500, 2000)
    assert shape == ledger.shape({"CPU": 0.5, "GPU": 2.0, "camera": 1.0, "lidar": 1.0})
    assert len(shape.demands) == 2
    assert not shape.demands.keys() & {-1, 0}
    assert set(ledger.capacities().values()) == {64_000, 2000}


def test_available_amounts_come_back_under_their_names() -> None:
    ledger = Ledger({"CPU": 4.0, "memory": 64.0 * MIB, "camera": 2.0})
    kinds = ledger.capacities()
    free = {kind: milli // 2 for kind, milli in kinds.items()} | {-1: 1500, 0: 0}
    assert ledger.named(free) == {"CPU": 1.5, "memory": 32.0 * MIB, "camera": 1.0}


def test_what_is_free_of_an_idle_node_is_what_it_has() -> None:
    capacity = {"CPU": 2.0, "memory": 17_693_551_412.0, "camera": 0.3}  # no multiple of what the core counts in
    ledger = Ledger(capacity)
    assert ledger.named(ledger.capacities() | {-1: 2000}) == capacity


@pytest.mark.parametrize(
    ("demand", "lacking"),
    [({"CPU": 5.0}, "num_cpus"), ({"GPU": 1.0}, "num_gpus"), ({"lidar": 0.5}, "lidar"), ({"memory": 1e12}, "memory")],
)
def test_an_impossible_demand_is_explained(demand: dict[str, float], lacking: str) -> None:
    text = Ledger({"CPU": 4.0, "memory": 64.0 * MIB}).shortage(demand)
    assert text is not None
    assert "CPU: 4" in text
    assert lacking in text


def test_a_demand_for_everything_is_possible() -> None:
    assert Ledger({"CPU": 4.0, "GPU": 1.0}).shortage({"CPU": 4.0, "GPU": 1.0}) is None


@given(st.integers(0, 10**6))
def test_thousandths_survive_the_way_there_and_back(milli: int) -> None:
    assert to_milli("camera", from_milli("camera", milli)) == milli


@given(st.integers(0, 4 * 10**12))
def test_memory_is_never_rounded_down(amount: int) -> None:
    assert from_milli("memory", to_milli("memory", amount)) >= amount * (1 - 1e-12)


def test_the_machine_has_at_least_a_cpu_and_some_memory() -> None:
    machine = detect()
    assert machine.n_cpus >= 1
    assert machine.memory_bytes > 0

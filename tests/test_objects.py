# SPDX-License-Identifier: Apache-2.0
"""Refs and the store: identity, sharing, copy-free arrays."""

import gc
import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import shoal


@pytest.fixture(scope="module", autouse=True)
def node() -> Iterator[None]:
    shoal.init(num_cpus=2, object_store_memory=256 << 20)
    yield
    shoal.shutdown()


def test_put_then_get_gives_an_equal_value() -> None:
    value = {"a": [1, 2.5, None, "text"], ("k", 1): {3, 4}}
    assert shoal.get(shoal.put(value)) == value


def test_get_takes_refs_and_lists_of_them() -> None:
    a, b = shoal.put(1), shoal.put(2)
    assert shoal.get(a) == 1
    assert shoal.get([a, b, a]) == [1, 2, 1]
    assert shoal.get([]) == []


def test_refs_are_hashable_and_equal_by_what_they_name() -> None:
    ref, other = shoal.put(1), shoal.put(1)
    assert ref != other
    assert len({ref, other, ref}) == 2
    assert shoal.get(shoal.put([ref]))[0] == ref
    assert hash(shoal.get(shoal.put([ref]))[0]) == hash(ref)


def test_ids_are_twenty_bytes_and_name_the_task() -> None:
    @shoal.remote(num_returns=2)
    def pair() -> Any:
        return 1, 2

    first, second = pair.remote()
    assert len(first.binary()) == 20
    assert first.hex() == first.binary().hex()
    assert first.task_id() == second.task_id() == first.binary()[:16]
    assert first.binary() != second.binary()


def test_refs_are_not_tracked_by_the_garbage_collector() -> None:
    assert not gc.is_tracked(shoal.put(1))


def test_a_value_is_stored_not_shared() -> None:
    value = [1]
    ref = shoal.put(value)
    value.append(2)
    shoal.get(ref).append(3)
    assert shoal.get(ref) == [1]


def test_arrays_come_read_only_and_without_a_copy() -> None:
    ref = shoal.put(np.arange(1_000_000))
    first, second = shoal.get(ref), shoal.get(ref)
    assert not first.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        first[0] = 1
    assert first.__array_interface__["data"][0] == second.__array_interface__["data"][0]


def test_an_array_outlives_its_ref() -> None:
    array = shoal.get(shoal.put(np.arange(1_000_000)))
    for n in range(20):
        shoal.put(np.full(1_000_000, n))
    assert (array == np.arange(1_000_000)).all()


def test_an_array_made_in_the_store_is_sealed_without_a_copy() -> None:
    array = shoal.store.empty((1000, 500), "float32")
    array[:] = np.arange(500)
    ref = shoal.put(array)
    assert not array.flags.writeable
    got = shoal.get(ref)
    assert got.dtype == np.float32
    assert got.shape == (1000, 500)
    assert (got == np.arange(500)).all()

    @shoal.remote
    def total(a: Any) -> float:
        return float(a.sum())

    assert shoal.get(total.remote(ref)) == 1000 * sum(range(500))


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(), (0,), 3, (3, 4), (2, 3, 4)])
def test_store_arrays_of_every_shape_and_order(shape: Any, order: Any) -> None:
    array = shoal.store.empty(shape, "i8", order)
    assert array.flags.writeable
    array[...] = 7
    got = shoal.get(shoal.put(array))
    assert got.shape == array.shape
    assert (got == 7).all()


def test_a_store_array_that_is_dropped_gives_its_room_back() -> None:
    for _ in range(100):
        shoal.store.empty(32 << 20, "u1")[0] = 1
    assert not shoal.store.unsealed


def test_a_view_of_a_store_array_is_stored_as_a_copy() -> None:
    array = shoal.store.empty(10, "i8")
    array[:] = np.arange(10)
    assert (shoal.get(shoal.put(array[2:4])) == [2, 3]).all()
    array[0] = 5
    assert shoal.get(shoal.put(array))[0] == 5


def test_store_arrays_of_objects_are_refused() -> None:
    with pytest.raises(ValueError, match="Python objects"):
        shoal.store.empty(3, object)
    with pytest.raises(ValueError, match="negative"):
        shoal.store.empty(-1)


@pytest.mark.parametrize("shape", [2**63 - 1, 2**64 - 4096, (2**40, 2**40)])
def test_an_array_that_no_store_has_room_for(shape: Any) -> None:
    with pytest.raises(shoal.ObjectStoreFullError, match="raise object_store_memory"):
        shoal.store.empty(shape, "u1")


def test_an_object_of_a_worker_outlives_the_task() -> None:
    @shoal.remote
    def make() -> Any:
        return [shoal.put(np.full(100_000, n)) for n in range(10)]

    assert [shoal.get(ref)[0] for ref in shoal.get(make.remote())] == list(range(10))


def test_a_ref_pickled_by_the_user_finds_its_object() -> None:
    ref = shoal.put("kept")
    data = pickle.dumps(ref)
    assert shoal.get(pickle.loads(data)) == "kept"

    @shoal.remote
    def load(data: bytes) -> Any:
        return shoal.get(pickle.loads(data))

    assert shoal.get(load.remote(data)) == "kept"


def test_many_small_objects() -> None:
    refs = [shoal.put(n) for n in range(50_000)]
    assert shoal.get(refs) == list(range(50_000))

# SPDX-License-Identifier: Apache-2.0
"""What is taken for a tensor."""

import re
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from shoal.util.collective.tensors import as_array, as_arrays, check_reducible, describe, flat
from shoal.util.collective.types import ReduceOp, check_backend


class Tensor:
    """As much of a torch tensor as is looked at."""

    def __init__(self, array: np.ndarray[Any, Any] | None, device: str = "cpu") -> None:
        self.array = array
        self.device = SimpleNamespace(type=device)

    def detach(self) -> "Tensor":
        return self

    def numpy(self) -> np.ndarray[Any, Any]:
        if self.array is None:
            raise TypeError("Got unsupported ScalarType BFloat16")
        return self.array


@pytest.fixture
def torch(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("torch")
    module.Tensor = Tensor  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", module)


def test_an_array_is_taken_as_it_is() -> None:
    array = np.zeros(3)
    assert as_array(array, is_written=True) is array
    array.flags.writeable = False
    assert as_array(array, is_written=False) is array
    with pytest.raises(ValueError, match="pass a copy"):
        as_array(array, is_written=True)


def test_what_is_none_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    for other in ([1, 2], 3.0, np.float64(1), Tensor(np.zeros(1))):
        with pytest.raises(TypeError, match=type(other).__name__):
            as_array(other, is_written=False)
    for dtype in ("O", "V0"):
        with pytest.raises(TypeError, match="fixed size"):
            as_array(np.empty(2, dtype), is_written=False)


@pytest.mark.usefixtures("torch")
def test_torch_tensors_in_memory_share_it() -> None:
    array = np.zeros(3)
    assert as_array(Tensor(array), is_written=True) is array
    with pytest.raises(TypeError, match="cpu"):
        as_array(Tensor(array, "cuda"), is_written=True)
    with pytest.raises(TypeError, match="BFloat16"):
        as_array(Tensor(None), is_written=True)


def test_lists_have_one_tensor_for_each_rank_all_alike() -> None:
    like = np.zeros(3)
    assert len(as_arrays([np.ones(3), np.ones(3)], 2, like, is_written=True)) == 2
    with pytest.raises(TypeError, match="list of 2 tensors"):
        as_arrays(np.ones(2), 2, like, is_written=True)
    with pytest.raises(ValueError, match="2 ranks, and the list 1"):
        as_arrays([np.ones(3)], 2, like, is_written=True)
    with pytest.raises(ValueError, match=r"tensor 1 of the list is float64\[4\]"):
        as_arrays([np.ones(3), np.ones(4)], 2, like, is_written=True)


def test_tensors_are_described_by_type_and_shape() -> None:
    assert describe(np.zeros((2, 3), "int16")) == "int16[2, 3]"
    assert describe(np.zeros((), ">f4")) == ">f4[]"


def test_reductions_have_to_give_the_same_type() -> None:
    check_reducible(np.zeros(1, ">f4"), ReduceOp.SUM)
    check_reducible(np.zeros(1, bool), ReduceOp.MAX)
    check_reducible(np.zeros(1, "timedelta64[s]"), ReduceOp.SUM)
    for dtype, op in (("datetime64[s]", ReduceOp.SUM), ("S3", ReduceOp.SUM), ("int32", ReduceOp.AVERAGE)):
        with pytest.raises(TypeError, match=re.escape(str(np.dtype(dtype)))):
            check_reducible(np.zeros(1, dtype), op)


def test_flat_is_a_view_where_it_can_be_and_comes_back_where_not() -> None:
    array = np.arange(6.0).reshape(2, 3)
    with flat(array, is_written=True) as row:
        assert np.shares_memory(row, array)
    transposed = np.asfortranarray(array)
    with flat(transposed, is_written=True) as row:
        assert row.tolist() == [0, 1, 2, 3, 4, 5]
        row += 1
    assert transposed.tolist() == [[1, 2, 3], [4, 5, 6]]


def test_backends_are_shm_and_what_means_it() -> None:
    for name in ("shm", "SHM", "gloo"):
        check_backend(name)
    with pytest.raises(ValueError, match="between GPUs"):
        check_backend("nccl")
    with pytest.raises(ValueError, match="no backend 'mpi'"):
        check_backend("mpi")
    with pytest.raises(TypeError, match="string"):
        check_backend(None)

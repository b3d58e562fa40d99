# SPDX-License-Identifier: Apache-2.0
"""Arrays that numpy keeps in the pickle: their bytes come out of band in one piece, to be looked at where they lie."""

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from shoal._core._node import has_array_kept_inside
from shoal.serialization import arrays
from shoal.serialization.by_value import dumps

CUBE = np.arange(2 * 3 * 4).reshape(2, 3, 4)
DATES = np.arange("2020-01", "2020-07", dtype="datetime64[D]")
RECORDS = np.zeros(5, [("when", "M8[s]"), ("n", "i4")])

KEPT_INSIDE = {
    "columns with gaps": CUBE[:, ::2],
    "gaps at the end": CUBE[..., :3],
    "backwards": CUBE[::-1, :, ::-1],
    "one dimension with gaps": np.arange(10)[::3],
    "repeated rows": np.broadcast_to(np.arange(3), (5, 3)),
    "dates": DATES,
    "dates with gaps": DATES[::2],
    "one date": DATES[3:4].reshape(()),
    "no dates": DATES[:0],
    "spans of time": DATES - DATES[0],
    "records with a date": RECORDS,
    "big-endian numbers with gaps": np.arange(10, dtype=">i4")[::2],
    "raw bytes with gaps": np.frombuffer(b"abcdefghi", "V3")[::2],
    "texts with gaps": np.array(["a", "bcd", "e"])[::2],
}
HANDED_OUT = {
    "C order": CUBE,
    "Fortran order": np.asfortranarray(CUBE),
    "one number": np.array(7),
    "nothing": np.zeros((0, 3)),
    "booleans": np.array([True, False]),
    "texts": np.array(["a", "bcd"]),
    "objects": np.array([{}, None], dtype=object),
}


def dump(value: object) -> tuple[bytes, list[bytes]]:
    buffers: list[pickle.PickleBuffer] = []
    data = dumps(value, buffers.append)
    return data, [bytes(buffer.raw()) for buffer in buffers]


@pytest.mark.parametrize("name", KEPT_INSIDE)
def test_an_array_that_numpy_keeps_inside_goes_out_of_band(name: str) -> None:
    array = KEPT_INSIDE[name]
    assert has_array_kept_inside(array)
    data, buffers = dump(array)
    assert [len(buffer) for buffer in buffers] == [array.nbytes]
    got = pickle.loads(data, buffers=buffers)
    assert type(got) is np.ndarray
    assert (got.dtype, got.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(got, array)
    assert not got.flags.writeable


@pytest.mark.parametrize("name", HANDED_OUT)
def test_other_arrays_are_left_to_numpy(name: str) -> None:
    assert not has_array_kept_inside(HANDED_OUT[name])
    data, _ = dump(HANDED_OUT[name])
    assert arrays.__name__.encode() not in data


def test_axes_lie_in_memory_as_they_lay() -> None:
    turned = CUBE.transpose(1, 0, 2)
    data, buffers = dump(turned)
    assert buffers == [CUBE.tobytes()]  # as it is: no copy had to be made
    assert pickle.loads(data, buffers=buffers).strides == turned.strides


def test_what_is_no_array_of_numbers_is_pickled_as_its_class_says() -> None:
    for array in (
        np.array([{"a": 1}, None, "x"], dtype=object)[::2],
        np.ma.masked_array(np.arange(6), mask=[0, 1] * 3)[::2],
        np.arange(6).view(np.recarray)[::2],
    ):
        data, buffers = dump(array)
        got = pickle.loads(data, buffers=buffers)
        assert type(got) is type(array)
        np.testing.assert_array_equal(got, array)


def test_a_buffer_that_can_be_written_gives_an_array_that_can() -> None:
    data, buffers = dump(CUBE[:, ::2])
    got = pickle.loads(data, buffers=[bytearray(buffers[0])])
    got[0, 0, 0] = 5
    assert got[0, 0, 0] == 5


@pytest.mark.parametrize(
    "wrap",
    [
        lambda a: [1, a],
        lambda a: (a,),
        lambda a: {"a": 1, "b": a},
        lambda a: ([{"b": a}], {}),
        lambda a: [0] * 900 + [a],
    ],
)
def test_containers_are_searched(wrap: Callable[[Any], Any]) -> None:
    assert has_array_kept_inside(wrap(CUBE[:, ::2]))
    assert not has_array_kept_inside(wrap(CUBE))


def test_the_search_ends() -> None:
    gap = CUBE[:, ::2]
    circle: list[Any] = []
    circle.append(circle)
    assert not has_array_kept_inside(circle)
    assert not has_array_kept_inside([0] * 2_000 + [gap])
    assert not has_array_kept_inside([[[[gap]]]])


def test_a_pickle_that_takes_no_buffers_is_numpys_own() -> None:
    got = pickle.loads(dumps(CUBE[:, ::2]))
    assert got.flags.writeable
    np.testing.assert_array_equal(got, CUBE[:, ::2])

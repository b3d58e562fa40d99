# SPDX-License-Identifier: Apache-2.0
"""`inspect_serializability`: the part that is to blame, and where it is. It needs no node."""

import io
import threading

import pytest

import shoal
from shoal.util import inspect_serializability


def test_what_can_be_shipped() -> None:
    out = io.StringIO()
    assert inspect_serializability([1, "two", lambda: 3], name="items", print_file=out) == (True, set())
    assert out.getvalue() == "items can be shipped.\n"
    assert not shoal.is_initialized()


def test_the_part_its_place_and_what_it_is_in(capsys: pytest.CaptureFixture[str]) -> None:
    lock = threading.Lock()
    layers = [1, lock]
    is_fine, failures = inspect_serializability({"layers": layers}, name="model")
    (failure,) = failures
    assert not is_fine
    assert failure.obj is lock
    assert failure.parent is layers
    assert (failure.name, failure.path) == ("[1]", "model['layers'][1]")
    assert "model['layers'][1]" in repr(failure)
    assert "cannot pickle" in capsys.readouterr().out


def test_a_function_that_captures_it() -> None:
    lock = threading.Lock()

    def locked() -> bool:
        return lock.locked()

    _, failures = inspect_serializability(locked, name="locked", print_file=io.StringIO())
    assert [(failure.obj, failure.path) for failure in failures] == [(lock, "locked.<closure lock>")]


def test_a_value_that_is_to_blame_itself() -> None:
    lock = threading.Lock()
    _, failures = inspect_serializability(lock, print_file=io.StringIO())
    assert [(failure.obj, failure.parent, failure.path) for failure in failures] == [(lock, None, "lock")]


def test_the_depth_bounds_the_search() -> None:
    value = [[[threading.Lock()]]]
    _, failures = inspect_serializability(value, name="v", depth=1, print_file=io.StringIO())
    assert [failure.path for failure in failures] == ["v[0]"]
    with pytest.raises(ValueError, match="depth"):
        inspect_serializability(value, depth=-1)

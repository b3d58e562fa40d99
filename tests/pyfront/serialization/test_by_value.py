# SPDX-License-Identifier: Apache-2.0
"""What is pickled by value keeps the names of its files, and equal values have equal bytes."""

import pickle
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shoal.serialization.by_value import dumps

SOURCE = """
def outer(n):
    def inner(x):
        return [(lambda y: y + n)(item) for item in x]
    return inner

class Thing:
    def method(self):
        return self.value
    @property
    def value(self):
        return 1
    @staticmethod
    def alone():
        return 2
"""


def run_source(file_name: str) -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(SOURCE, file_name, "exec"), namespace)
    return namespace


def files_of(code: types.CodeType) -> set[str]:
    inner = [files_of(part) for part in code.co_consts if isinstance(part, types.CodeType)]
    return {code.co_filename}.union(*inner)


def copy(value: Any) -> Any:
    return pickle.loads(dumps(value))


@pytest.mark.parametrize("file_name", ["/folder/script.py", "<stdin>", "", "/f\xf6lder/\u65e5.py", "/odd/\udcff.py"])
def test_code_keeps_the_name_of_its_file(file_name: str) -> None:
    namespace = run_source(file_name)
    function = copy(namespace["outer"](10))
    assert function([1, 2]) == [11, 12]
    assert files_of(function.__code__) == {file_name}
    assert files_of(copy(namespace["outer"]).__code__) == {file_name}
    thing = copy(namespace["Thing"])
    assert (thing().method(), thing.alone()) == (1, 2)
    codes = [thing.method.__code__, thing.alone.__code__, vars(thing)["value"].fget.__code__]
    assert {file for code in codes for file in files_of(code)} == {file_name}


def test_lines_are_kept() -> None:
    function = run_source("/folder/script.py")["outer"]
    twin = copy(function)
    assert list(twin.__code__.co_lines()) == list(function.__code__.co_lines())
    assert twin.__code__ == function.__code__


def test_equal_functions_have_equal_bytes_here_and_after_a_journey() -> None:
    first, second = (run_source("".join(["/folder/", "script.py"]))["outer"] for _ in range(2))
    data = dumps(first)
    assert dumps(second) == data
    assert dumps(first) == data


def test_a_function_has_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    (tmp_path / "show.py").write_text(
        SOURCE + "import sys\nfrom shoal.serialization.by_value import dumps\n"
        "sys.stdout.write(dumps((outer, outer(1))).hex())\n"
    )
    command = [sys.executable, str(tmp_path / "show.py")]
    first, second = (subprocess.run(command, check=True, capture_output=True).stdout for _ in range(2))
    assert first
    assert first == second


def test_the_name_is_written_once() -> None:
    file_name = "/folder/" + "x" * 200
    assert dumps(run_source(file_name)["Thing"]).count(file_name.encode()) == 1


def test_buffers_go_out_of_band_if_somebody_takes_them() -> None:
    value = (pickle.PickleBuffer(bytearray(b"x" * 1000)), lambda: 1)
    buffers: list[pickle.PickleBuffer] = []
    data = dumps(value, buffers.append)
    assert len(buffers) == 1
    assert b"x" * 1000 not in data
    assert b"x" * 1000 in dumps(value)
    assert bytes(pickle.loads(data, buffers=buffers)[0]) == b"x" * 1000


def test_what_recurses_without_end_is_an_error_that_says_so() -> None:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises((pickle.PicklingError, RecursionError), match="recursion"):
        dumps(value)


def test_functions_of_modules_go_by_name() -> None:
    function: Callable[..., Any] = copy(subprocess.run)
    assert function is subprocess.run

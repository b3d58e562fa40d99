# SPDX-License-Identifier: Apache-2.0
"""Modules made from the table of names."""

import pickle
import subprocess
import sys
from importlib import import_module

import cloudpickle
import pytest

import shoal
import shoal.compat.ray as ray
from shoal.compat.modules import ROOT
from shoal.compat.names import MODULES


def test_a_name_is_the_one_of_shoal() -> None:
    assert ray.put is shoal.put
    assert ray.ObjectRef is shoal.ObjectRef
    assert ray.util.queue.Queue is import_module("shoal.util.queue").Queue
    assert ray.exceptions.RayTaskError is shoal.TaskError


def test_submodules_are_attributes_without_an_import() -> None:
    program = "import shoal.compat.ray as ray; print(ray.actor.exit_actor.__name__, ray.util.queue.Queue.__name__)"
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "exit_actor Queue\n"


def test_nothing_is_imported_before_it_is_used() -> None:
    program = (
        "import sys, shoal.compat.ray as ray; import shoal.compat.ray.util\n"
        "print(sorted(n for n in sys.modules if n in ('joblib', 'dask', 'asyncio', 'msgspec', 'shoal.util.queue')))"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "[]\n"


def test_the_innermost_module_is_asked_for_with_an_empty_name_as_well() -> None:
    assert __import__("shoal.compat.ray.util.state", fromlist=[""]) is ray.util.state


def test_a_module_that_has_the_name_of_a_function_leaves_it_in_its_place() -> None:
    util = import_module(f"{ROOT}.util")
    module = import_module(f"{ROOT}.util.placement_group")
    assert module.__name__ == f"{ROOT}.util.placement_group"
    assert vars(util).get("placement_group") is not module


def test_the_whole_of_another_module() -> None:
    from shoal.compat.ray import cloudpickle as theirs

    assert theirs is cloudpickle
    assert import_module(f"{ROOT}.cloudpickle") is cloudpickle
    assert cloudpickle.__spec__ is not None
    assert cloudpickle.__spec__.name == "cloudpickle"


@pytest.mark.parametrize("dumps", [pickle.dumps, cloudpickle.dumps])
def test_a_module_is_pickled_by_its_name(dumps: object) -> None:
    for name in ("", ".util", ".util.queue"):
        module = import_module(ROOT + name)
        assert pickle.loads(dumps(module)) is module  # type: ignore[operator] # a function


def test_a_module_shows_as_ray_s() -> None:
    assert repr(ray) == "<module 'ray', which is 'shoal.compat.ray'>"
    assert repr(ray.util.queue) == "<module 'ray.util.queue', which is 'shoal.compat.ray.util.queue'>"


def test_names_are_listed() -> None:
    assert set(MODULES["util"]) <= set(dir(ray.util))
    assert {"queue", "state"} <= set(dir(ray.util))
    assert ray.util.queue.__all__ == ["Empty", "Full", "Queue"]


def test_what_is_no_name_at_all() -> None:
    with pytest.raises(AttributeError, match=r"ray\.nonsense is not in Shoal: Shoal covers Ray core"):
        _ = ray.nonsense
    with pytest.raises(ModuleNotFoundError, match=r"ray\.util\.nonsense is not in Shoal"):
        from shoal.compat.ray.util import nonsense  # noqa: F401
    with pytest.raises(ModuleNotFoundError, match=r"ray\.init is not in Shoal: it is no module"):
        import_module(f"{ROOT}.init")
    assert not hasattr(ray, "__wrapped__")

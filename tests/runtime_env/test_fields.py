# SPDX-License-Identifier: Apache-2.0
"""What users write is checked where they write it."""

import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest

import shoal
from shoal.runtime_env import RuntimeEnv, RuntimeEnvConfig
from shoal.task.options import ActorOptions, TaskOptions, merge_actor, merge_task


def test_fields_that_were_given_are_those_of_the_dict(tmp_path: Path) -> None:
    env = RuntimeEnv(env_vars={"A": "1"}, working_dir=tmp_path, excludes=["*.log"])
    assert env == {"env_vars": {"A": "1"}, "working_dir": str(tmp_path), "excludes": ["*.log"]}
    assert env.to_dict() == dict(env)
    assert type(env.to_dict()) is dict


def test_a_relative_path_means_the_folder_of_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "code").mkdir()
    monkeypatch.chdir(tmp_path)
    assert RuntimeEnv(working_dir="code")["working_dir"] == str(tmp_path / "code")


def test_a_module_stands_for_where_it_is() -> None:
    env = RuntimeEnv(py_modules=[json, pickle])
    assert env["py_modules"] == [os.path.dirname(json.__file__), pickle.__file__]


def test_an_object_survives_pickling_in_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env = RuntimeEnv(working_dir=tmp_path, pip=["a"])
    data = pickle.dumps(env)
    monkeypatch.chdir("/")
    again = pickle.loads(data)
    assert type(again) is RuntimeEnv
    assert again == env


def test_a_field_can_be_changed_and_is_checked_again() -> None:
    env = RuntimeEnv(env_vars={"A": "1"})
    env["env_vars"] = {"B": "2"}
    assert env["env_vars"] == {"B": "2"}
    with pytest.raises(TypeError, match="not a field"):
        env["env_wars"] = {}
    with pytest.raises(TypeError, match="field by field"):
        env.update(env_vars={"A": 1})


@pytest.mark.parametrize(
    ("fields", "error", "text"),
    [
        ({"wokring_dir": "/"}, TypeError, "'wokring_dir' is not a field of runtime_env; the fields are .*working_dir"),
        ({"working_dir": "/nowhere"}, ValueError, "neither a directory nor a zip file"),
        ({"working_dir": 7}, TypeError, "not a path"),
        ({"working_dir": "s3://bucket/a.zip"}, shoal.UnsupportedOptionError, "download it first"),
        ({"py_modules": "mine"}, TypeError, "list of paths and modules"),
        ({"py_modules": ["/nowhere/mine"]}, ValueError, "by name under pip or uv"),
        ({"excludes": "*.log"}, TypeError, "list of patterns"),
        ({"env_vars": {"A": 1}}, TypeError, "must be strings"),
        ({"env_vars": {"A=B": "1"}}, ValueError, "no process can have"),
        ({"env_vars": ["A"]}, TypeError, "dict of strings"),
        ({"pip": 7}, TypeError, "list of requirements"),
        ({"pip": "/nowhere/requirements.txt"}, ValueError, "no such requirements file"),
        ({"pip": {"packages": ["a"], "pip_version": "==20"}}, shoal.UnsupportedOptionError, "pip_version"),
        ({"pip": {"packages": ["a"], "pip_chek": True}}, TypeError, "'pip_chek' is not known"),
        ({"pip": ["a"], "uv": ["a"]}, ValueError, "pip or uv, not both"),
        ({"config": {"setup_timeout_seconds": 0}}, ValueError, "positive"),
        ({"conda": "base"}, shoal.UnsupportedOptionError, "start the driver in the conda environment"),
        ({"image_uri": "a"}, shoal.UnsupportedOptionError, "container"),
        ({"container": {}}, shoal.UnsupportedOptionError, "container"),
        ({"nsight": "default"}, shoal.UnsupportedOptionError, "profiler"),
    ],
)
def test_a_bad_field_is_refused_by_name(fields: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        RuntimeEnv(**fields)
    with pytest.raises(error, match=text):
        merge_task(TaskOptions(), {"runtime_env": fields})
    with pytest.raises(error, match=text):
        merge_actor(ActorOptions(), {"runtime_env": fields})


def test_an_environment_that_is_no_dict_is_refused() -> None:
    with pytest.raises(TypeError, match="must be a dict or a RuntimeEnv"):
        merge_task(TaskOptions(), {"runtime_env": ["numpy"]})
    with pytest.raises(TypeError, match="named by strings"):
        merge_task(TaskOptions(), {"runtime_env": {1: 2}})
    with pytest.raises(TypeError, match="not a field"):
        shoal.init(runtime_env={"env": {}})


@pytest.mark.parametrize("nothing", [None, {}, RuntimeEnv()])
def test_an_empty_environment_is_none(nothing: Any) -> None:
    assert merge_task(TaskOptions(), {"runtime_env": nothing}).runtime_env is None


def test_an_object_is_taken_as_it_is_so_that_it_is_read_once() -> None:
    env = RuntimeEnv(env_vars={"A": "1"})
    assert merge_task(TaskOptions(), {"runtime_env": env}).runtime_env is env


def test_a_config_has_defaults() -> None:
    assert RuntimeEnvConfig() == {"setup_timeout_seconds": 600.0, "eager_install": True}
    assert RuntimeEnv(config={"setup_timeout_seconds": 5})["config"]["setup_timeout_seconds"] == 5

# SPDX-License-Identifier: Apache-2.0
"""Merging with the caller's environment, and reading files once."""

import pickle
from pathlib import Path

import pytest

from shoal.protocol.environment import Environment, Install
from shoal.runtime_env import RuntimeEnv
from shoal.runtime_env.packages import Packages
from shoal.runtime_env.resolve import described, merge, resolve

PARENT = Environment(
    env_vars={"A": "1", "B": "1"},
    working_dir="/copy",
    source_dir="/code",
    py_modules=["/m"],
    install=Install("pip", "a\n"),
)


def no_packages() -> Packages:
    raise AssertionError("nothing is to be copied")


def resolved(session: str = "s", inherited: Environment | None = None, **fields: object) -> Environment | None:
    return resolve(RuntimeEnv(**fields), session, inherited, no_packages)  # type: ignore[arg-type]


def test_variables_are_merged_and_other_fields_replace() -> None:
    merged = resolved(inherited=PARENT, env_vars={"B": "2", "C": "2"}, uv=["b"])
    assert merged is not None
    assert merged.env_vars == {"A": "1", "B": "2", "C": "2"}
    assert merged.install is not None
    assert merged.install.installer == "uv"
    assert (merged.working_dir, merged.source_dir, merged.py_modules) == ("/copy", "/code", ["/m"])


def test_an_empty_list_takes_away_what_was_inherited() -> None:
    merged = resolved(inherited=PARENT, py_modules=[], pip=[])
    assert merged is not None
    assert (merged.py_modules, merged.install) == ([], None)


def test_a_working_directory_replaces_its_parents() -> None:
    own = Environment(working_dir="/other", source_dir="/elsewhere")
    merged = merge(PARENT, own, RuntimeEnv(working_dir="/"))
    assert (merged.working_dir, merged.source_dir) == ("/other", "/elsewhere")


def test_what_asks_for_nothing_is_no_environment() -> None:
    assert resolved(excludes=["*.log"], config={"setup_timeout_seconds": 5}) is None
    assert resolved(inherited=PARENT, excludes=["*.log"]) == PARENT


@pytest.fixture
def packages(tmp_path: Path) -> Packages:
    (tmp_path / "packages").mkdir()
    return Packages(str(tmp_path / "packages"), 1 << 20)


def test_an_object_is_read_once_in_a_session_and_takes_that_along(tmp_path: Path, packages: Packages) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "mine.py").write_text("X = 1\n")
    env = RuntimeEnv(working_dir=code)
    first = resolve(env, "s", None, lambda: packages)
    (code / "mine.py").write_text("X = 2\n")
    assert resolve(env, "s", None, no_packages) == first
    assert resolve(pickle.loads(pickle.dumps(env)), "s", None, no_packages) == first
    assert resolve(env, "another session", None, lambda: packages) != first


def test_an_object_that_was_changed_is_read_again() -> None:
    env = RuntimeEnv(env_vars={"A": "1"})
    resolve(env, "s", None, no_packages)
    env["env_vars"] = {"A": "2"}
    assert resolve(env, "s", None, no_packages) == Environment(env_vars={"A": "2"})


def test_a_description_for_users_can_be_given_again(tmp_path: Path) -> None:
    environment = Environment(env_vars={"A": "1"}, working_dir=str(tmp_path), install=Install("pip", "a\nb\n", ["-q"]))
    env = described(environment)
    assert env["env_vars"] == {"A": "1"}
    assert env["working_dir"] == str(tmp_path)
    assert env["pip"]["packages"] == ["a", "b"]
    assert env["pip"]["pip_install_options"] == ["-q"]

# SPDX-License-Identifier: Apache-2.0
"""Tasks and actors find their environment: variables, files, modules, installed packages; and no one else's."""

import ctypes
import os
import signal
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import cloudpickle
import pytest
from tests.wheels import make_wheel

import shoal
from shoal.runtime_env import RuntimeEnv
from shoal.util.state import list_workers, why

LIMIT_S = 60.0
PR_GET_PDEATHSIG = 2


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache for this test alone, and pip that asks no index."""
    monkeypatch.setenv("SHOAL_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return tmp_path / "cache"


@pytest.fixture
def init() -> Iterator[Callable[..., ModuleType]]:
    """Starts a node with two CPUs and these options."""

    def start(**options: Any) -> ModuleType:
        shoal.init(num_cpus=2, **options)
        return shoal

    yield start
    shoal.shutdown()


@pytest.fixture
def uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pipe: str) -> str:
    """An installer that waits until the pipe that is returned is opened, and then installs nothing."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "uv").write_text(f'#!/bin/sh\nread word < {pipe}\n[ "$word" = fail ] && echo no way && exit 3\nexit 0\n')
    (tools / "uv").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    return pipe


def say(pipe: str, word: str) -> None:
    with open(pipe, "w") as file:
        file.write(f"{word}\n")


@shoal.remote
def variable(name: str) -> str | None:
    return os.environ.get(name)


@shoal.remote
def pid() -> int:
    return os.getpid()


@shoal.remote
def variables_of_child(name: str, **env_vars: str) -> tuple[str | None, str | None]:
    child = variable.options(runtime_env={"env_vars": env_vars}) if env_vars else variable
    return os.environ.get(name), shoal.get(child.remote(name))


@shoal.remote
def attribute(module: str, name: str) -> Any:
    return getattr(__import__(module), name)


@shoal.remote
def where() -> str:
    return os.getcwd()


@shoal.remote
class Asker:
    def variable(self, name: str) -> str | None:
        return os.environ.get(name)

    def ask(self, name: str) -> str | None:
        return shoal.get(variable.remote(name))


def with_variables(function: Any, **env_vars: str) -> Any:
    return function.options(runtime_env={"env_vars": env_vars})


def cloudpickle_with_a_value() -> dict[str, str]:
    """The files of another version of a package that the zygote has loaded, and that Shoal itself needs."""
    files = {f"cloudpickle/{path.name}": path.read_text() for path in Path(cloudpickle.__file__).parent.glob("*.py")}
    files["cloudpickle/__init__.py"] += "VALUE = 'another'\n"
    return files


# -- variables


def test_a_task_sees_its_variables_and_no_other_task_does(init: Callable[..., ModuleType]) -> None:
    init()
    refs = [with_variables(variable, A="1").remote("A"), with_variables(variable, A="2").remote("A")]
    assert shoal.get([*refs, variable.remote("A")]) == ["1", "2", None]


def test_variables_are_there_before_the_interpreter(init: Callable[..., ModuleType]) -> None:
    """A fork would have the zygote's hash seed."""
    init()

    @shoal.remote
    def hashed() -> int:
        return hash("shoal")

    assert shoal.get(with_variables(hashed, PYTHONHASHSEED="1").remote()) != shoal.get(hashed.remote())


def test_a_value_can_name_what_the_node_has(init: Callable[..., ModuleType], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEFORE", "old")
    init()
    assert shoal.get(with_variables(variable, A="${BEFORE}:new:${NONE}$").remote("A")) == "old:new:$"


def test_a_module_path_among_the_variables_is_followed(init: Callable[..., ModuleType], tmp_path: Path) -> None:
    (tmp_path / "iniconfig.py").write_text("VALUE = 9\n")
    init()
    call = with_variables(attribute, PYTHONPATH=f"{tmp_path}:${{PYTHONPATH}}")
    assert shoal.get(call.remote("iniconfig", "VALUE")) == 9


def test_workers_are_kept_for_their_environment(init: Callable[..., ModuleType]) -> None:
    init(runtime_env=None)
    plain = {shoal.get(pid.remote()) for _ in range(4)}
    first = shoal.get(with_variables(pid, A="1").remote())
    second = shoal.get(with_variables(pid, A="2").remote())
    assert first != second
    assert not plain & {first, second}
    rows = {row.pid: row.environment for row in list_workers(timeout=LIMIT_S) if row.worker_type == "WORKER"}
    assert rows[first] == rows[second] == "env_vars: A"
    assert all(rows[process] is None for process in plain)
    assert shoal.get(with_variables(pid, A="1").remote()) in {row.pid for row in list_workers(timeout=LIMIT_S)}


def test_children_inherit_and_merge(init: Callable[..., ModuleType]) -> None:
    init()
    call = with_variables(variables_of_child, A="1", B="2")
    assert shoal.get(call.remote("A")) == ("1", "1")
    assert shoal.get(call.remote("B", A="3")) == ("2", "2")
    assert shoal.get(call.remote("A", A="3")) == ("1", "3")


def test_an_actor_has_its_environment_and_its_calls_inherit_it(init: Callable[..., ModuleType]) -> None:
    init()
    actor = with_variables(Asker, A="1").remote()
    assert shoal.get([actor.variable.remote("A"), actor.ask.remote("A"), variable.remote("A")]) == ["1", "1", None]


def test_a_jobs_environment_is_the_default(init: Callable[..., ModuleType]) -> None:
    init(runtime_env={"env_vars": {"A": "1", "B": "2"}})
    assert shoal.get([variable.remote("A"), Asker.remote().variable.remote("B")]) == ["1", "2"]
    call = with_variables(variables_of_child, A="3")
    assert shoal.get(call.remote("A")) == ("3", "3")
    assert shoal.get(call.remote("B")) == ("2", "2")
    assert shoal.get_runtime_context().runtime_env == {"env_vars": {"A": "1", "B": "2"}}
    rows = [row for row in list_workers(timeout=LIMIT_S) if row.worker_type == "WORKER"]
    assert all(row.environment for row in rows)


def test_a_fresh_interpreter_dies_with_its_node_and_is_replaced(
    init: Callable[..., ModuleType], tmp_path: Path
) -> None:
    init()
    mark = tmp_path / "mark"

    @shoal.remote
    def die_once() -> tuple[str | None, int]:
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        death_signal = ctypes.c_int()
        ctypes.CDLL(None).prctl(PR_GET_PDEATHSIG, ctypes.byref(death_signal))
        return os.environ.get("A"), death_signal.value

    assert shoal.get(with_variables(die_once, A="1").remote(), timeout=LIMIT_S) == ("1", signal.SIGKILL)


def test_leases_and_free_tasks_run_in_their_environment(init: Callable[..., ModuleType]) -> None:
    init()
    calls = [with_variables(variable, A=str(cpus)).options(num_cpus=cpus) for cpus in (0, 0.5, 2)]
    assert shoal.get([call.remote("A") for call in calls], timeout=LIMIT_S) == ["0", "0.5", "2"]


def test_more_environments_than_there_is_room_for_workers(init: Callable[..., ModuleType]) -> None:
    init()
    refs = [with_variables(variable, A=str(n)).remote("A") for n in range(11)]
    assert shoal.get(refs, timeout=LIMIT_S) == [str(n) for n in range(11)]
    workers = [row for row in list_workers(timeout=LIMIT_S) if row.environment]
    assert len(workers) <= 8


def test_nested_calls_through_many_environments(init: Callable[..., ModuleType]) -> None:
    init()

    @shoal.remote
    def down(depth: int) -> list[str | None]:
        mine = os.environ.get("DEPTH")
        if depth == 0:
            return [mine]
        return [mine, *shoal.get(with_variables(down, DEPTH=str(depth)).remote(depth - 1))]

    assert shoal.get(down.remote(12), timeout=LIMIT_S) == [None, *map(str, range(12, 0, -1))]


# -- files


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """A working directory with one module and one file."""
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "mine.py").write_text("VALUE = 1\n")
    (folder / "data.txt").write_text("text")
    return folder


def test_a_task_runs_in_a_copy_of_its_working_directory(init: Callable[..., ModuleType], code: Path) -> None:
    init()
    env = RuntimeEnv(working_dir=code)
    place = shoal.get(where.options(runtime_env=env).remote())
    assert place != str(code)
    assert (Path(place) / "data.txt").read_text() == "text"
    assert shoal.get(attribute.options(runtime_env=env).remote("mine", "VALUE")) == 1
    shoal.shutdown()
    assert not os.path.exists(place)


def test_a_later_edit_is_not_seen_until_the_directory_is_given_again(
    init: Callable[..., ModuleType], code: Path
) -> None:
    init()
    before = attribute.options(runtime_env={"working_dir": str(code)})
    assert shoal.get(before.remote("mine", "VALUE")) == 1
    (code / "mine.py").write_text("VALUE = 2\n")
    after = attribute.options(runtime_env={"working_dir": str(code)})
    assert shoal.get([after.remote("mine", "VALUE"), before.remote("mine", "VALUE")]) == [2, 1]


def test_a_drivers_folder_is_looked_for_in_the_copy(
    init: Callable[..., ModuleType], code: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code / "src").mkdir()
    (code / "src" / "other.py").write_text("VALUE = 3\n")
    monkeypatch.syspath_prepend(str(code / "src"))
    init(runtime_env={"working_dir": str(code)})
    path, value = shoal.get([attribute.remote("sys", "path"), attribute.remote("other", "VALUE")])
    assert value == 3
    assert str(code / "src") not in path
    assert path[0] == shoal.get(where.remote())


def test_a_file_named_like_a_loaded_module_is_found(init: Callable[..., ModuleType], code: Path) -> None:
    """A fork has it loaded: the worker is a fresh interpreter then."""
    (code / "cloudpickle").mkdir()
    for path, text in cloudpickle_with_a_value().items():
        (code / path).write_text(text)
    init(runtime_env={"working_dir": str(code)})
    assert shoal.get(attribute.remote("cloudpickle", "VALUE")) == "another"


def test_excludes_are_left_out(init: Callable[..., ModuleType], code: Path) -> None:
    init(runtime_env={"working_dir": str(code), "excludes": ["*.txt"]})
    assert os.listdir(shoal.get(where.remote())) == ["mine.py"]


def test_a_zip_is_a_working_directory(init: Callable[..., ModuleType], code: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "code.zip", "w") as archive:
        archive.write(code / "mine.py", "mine.py")
    init(runtime_env={"working_dir": str(tmp_path / "code.zip")})
    assert shoal.get(attribute.remote("mine", "VALUE")) == 1


def test_modules_and_wheels_can_be_imported(init: Callable[..., ModuleType], code: Path, tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("VALUE = 6\n")
    wheel = make_wheel(tmp_path / "wheels", "wheeled", "1.0", {"wheeled.py": "VALUE = 7\n"})
    init()
    call = attribute.options(runtime_env={"py_modules": [package, code / "mine.py", wheel]})
    assert shoal.get([call.remote(name, "VALUE") for name in ("package", "mine", "wheeled")]) == [6, 1, 7]
    with pytest.raises(ModuleNotFoundError):
        shoal.get(attribute.remote("wheeled", "VALUE"))


def test_what_cannot_be_copied_is_told_at_the_call(
    init: Callable[..., ModuleType], code: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    init()
    monkeypatch.setenv("SHOAL_PACKAGE_LIMIT", "8")
    call = where.options(runtime_env={"working_dir": str(code)})
    with pytest.raises(shoal.RuntimeEnvSetupError, match="SHOAL_PACKAGE_LIMIT"):
        call.remote()
    with pytest.raises(shoal.RuntimeEnvSetupError, match="SHOAL_PACKAGE_LIMIT"):
        Asker.options(runtime_env={"working_dir": str(code)}).remote()


def test_a_cache_that_others_may_enter_is_refused(init: Callable[..., ModuleType], code: Path, cache: Path) -> None:
    cache.mkdir(mode=0o755)
    init()
    with pytest.raises(shoal.RuntimeEnvSetupError, match="mode 0700"):
        where.options(runtime_env={"working_dir": str(code)}).remote()


# -- installed packages


def pip(folder: Path, *packages: str) -> dict[str, Any]:
    return {"pip": {"packages": list(packages), "pip_install_options": ["--find-links", str(folder)]}}


def test_installed_packages_are_there_with_what_they_require(
    init: Callable[..., ModuleType], tmp_path: Path, cache: Path
) -> None:
    wheels = tmp_path / "wheels"
    make_wheel(wheels, "upper", "1.0", {"upper.py": "import lower\nVALUE = lower.VALUE + 1\n"}, ("lower>=2",))
    make_wheel(wheels, "lower", "2.0", {"lower.py": "VALUE = 8\n"})
    init()
    call = attribute.options(runtime_env=pip(wheels, "upper"))
    assert shoal.get(call.remote("upper", "VALUE"), timeout=LIMIT_S) == 9
    assert shoal.get(call.remote("sys", "prefix")).startswith(str(cache))
    with pytest.raises(ModuleNotFoundError):
        shoal.get(attribute.remote("upper", "VALUE"))


def test_an_installed_version_goes_before_the_drivers(init: Callable[..., ModuleType], tmp_path: Path) -> None:
    """Also of what the zygote has loaded, and Shoal itself needs."""
    wheels = tmp_path / "wheels"
    make_wheel(wheels, "cloudpickle", "999.0", cloudpickle_with_a_value())
    init()
    call = attribute.options(runtime_env=pip(wheels, "cloudpickle==999.0"))
    assert shoal.get(call.remote("cloudpickle", "VALUE"), timeout=LIMIT_S) == "another"
    assert shoal.get(call.remote("iniconfig", "__name__")) == "iniconfig"  # the driver's are behind
    assert shoal.get(call.remote("shoal", "__file__")) == shoal.__file__


def test_an_environment_is_installed_once_and_used_offline(
    init: Callable[..., ModuleType], tmp_path: Path, cache: Path
) -> None:
    wheels = tmp_path / "wheels"
    wheel = make_wheel(wheels, "once", "1.0", {"once.py": "VALUE = 1\n"})
    init(runtime_env=pip(wheels, "once"))
    assert shoal.get(attribute.remote("once", "VALUE"), timeout=LIMIT_S) == 1
    shoal.shutdown()
    wheel.unlink()
    init(runtime_env=pip(wheels, "once"))
    assert shoal.get(attribute.remote("once", "VALUE"), timeout=LIMIT_S) == 1
    assert len(os.listdir(cache / "environments")) == 1


def test_a_failed_installation_is_told_to_those_who_wait_and_tried_again(
    init: Callable[..., ModuleType], tmp_path: Path
) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    init()
    call = attribute.options(runtime_env=pip(wheels, "late"))
    refs = [call.remote("late", "VALUE") for _ in range(3)]
    for ref in refs:
        with pytest.raises(shoal.RuntimeEnvSetupError, match="pip exited with code 1") as raised:
            shoal.get(ref, timeout=LIMIT_S)
        assert any("No matching distribution found for late" in line for line in raised.value.output)
    assert shoal.get(attribute.remote("sys", "byteorder")) == sys.byteorder  # the node goes on
    make_wheel(wheels, "late", "1.0", {"late.py": "VALUE = 1\n"})
    assert shoal.get(call.remote("late", "VALUE"), timeout=LIMIT_S) == 1


def test_a_failed_installation_ends_an_actor(init: Callable[..., ModuleType], tmp_path: Path) -> None:
    init()
    actor = Asker.options(runtime_env=pip(tmp_path, "never"), max_restarts=-1).remote()
    with pytest.raises(shoal.RuntimeEnvSetupError, match="No matching distribution"):
        shoal.get(actor.variable.remote("A"), timeout=LIMIT_S)


def test_an_installer_that_takes_too_long_is_ended(init: Callable[..., ModuleType], uv: str) -> None:
    init()
    call = pid.options(runtime_env={"uv": ["a"], "config": {"setup_timeout_seconds": 0.5}})
    with pytest.raises(shoal.RuntimeEnvSetupError, match=r"longer than 0.5 s.*setup_timeout_seconds"):
        shoal.get(call.remote(), timeout=LIMIT_S)


def test_why_says_what_waits_for_its_environment(init: Callable[..., ModuleType], uv: str) -> None:
    init()
    env = {"uv": ["a"]}
    ref, actor = pid.options(runtime_env=env).remote(), Asker.options(runtime_env=env).remote()
    call = actor.variable.remote("A")
    for target in (ref, call):
        text = "\n".join(line for reason in why(target.task_id().hex(), timeout=LIMIT_S) for line in reason.lines())
        assert "waits for its environment" in text
        assert "is not there yet. It is being made (uv: a)" in text
    say(uv, "go")
    assert shoal.get(call, timeout=LIMIT_S) is None
    assert shoal.get(ref, timeout=LIMIT_S) > 0


def test_what_waits_for_an_environment_can_be_cancelled_and_killed(init: Callable[..., ModuleType], uv: str) -> None:
    init()
    env = {"uv": ["a"]}
    ref, actor = pid.options(runtime_env=env).remote(), Asker.options(runtime_env=env).remote()
    call = actor.variable.remote("A")
    shoal.cancel(ref)
    shoal.kill(actor)
    with pytest.raises(shoal.TaskCancelledError):
        shoal.get(ref, timeout=LIMIT_S)
    with pytest.raises(shoal.ActorDiedError):
        shoal.get(call, timeout=LIMIT_S)


def test_a_node_ends_while_it_installs(init: Callable[..., ModuleType], uv: str, cache: Path) -> None:
    init(runtime_env={"uv": ["a"]})
    ref = pid.remote()
    assert why(ref.task_id().hex(), timeout=LIMIT_S)
    shoal.shutdown()
    init(runtime_env={"uv": ["a"]})  # what the first one left is no environment
    say(uv, "go")
    assert shoal.get(pid.remote(), timeout=LIMIT_S) > 0


def test_a_detached_actor_keeps_its_environment(init: Callable[..., ModuleType], code: Path) -> None:
    init()
    actor = Asker.options(
        name="a", lifetime="detached", runtime_env={"working_dir": str(code), "env_vars": {"A": "1"}}
    ).remote()
    assert shoal.get([actor.variable.remote("A"), actor.ask.remote("A")], timeout=LIMIT_S) == ["1", "1"]
    shoal.kill(actor)

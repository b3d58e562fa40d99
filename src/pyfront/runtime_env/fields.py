# SPDX-License-Identifier: Apache-2.0
"""What users write: the fields of a runtime environment, checked where they are written."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any, NoReturn

from shoal.errors import UnsupportedOptionError
from shoal.runtime_env.requirements import INSTALLERS, normalized

FIELDS = ("config", "env_vars", "excludes", "pip", "py_modules", "uv", "working_dir")
# Fields of Ray's that Shoal does not have, and what to do instead.
REFUSED = {
    "_debug": "leave it out",
    "cgroup": "give tasks and actors memory= and num_cpus=, which are enforced by the node",
    "conda": "start the driver in the conda environment, or list its packages under pip or uv",
    "container": "start the driver in the container: its workers are its children",
    "image_uri": "start the driver in the container: its workers are its children",
    "java_jars": "there are no Java workers",
    "mpi": "start MPI programs from a task with subprocess",
    "nsight": "start the driver under the profiler: it follows child processes",
    "rocprof_sys": "start the driver under the profiler: it follows child processes",
    "worker_process_setup_hook": "do it when a module of py_modules is imported, or in an actor's constructor",
}
DEFAULT_TIMEOUT_S = 600.0  # as Ray's


class RuntimeEnvConfig(dict[str, Any]):
    """How an environment is made: the field `config` of a RuntimeEnv.

    - `setup_timeout_seconds`: for the installer; default 600, -1 for any time.
    - `eager_install`: True, the default, or False; has no effect: environments are made when a call asks for them.

    Raises TypeError for a wrong type, ValueError for a time that is not positive and not -1."""

    def __init__(self, setup_timeout_seconds: float = DEFAULT_TIMEOUT_S, eager_install: bool = True) -> None:
        if isinstance(setup_timeout_seconds, bool) or not isinstance(setup_timeout_seconds, (int, float)):
            raise TypeError(f"setup_timeout_seconds must be a number, not {setup_timeout_seconds!r}")
        if not (setup_timeout_seconds > 0 or setup_timeout_seconds == -1):
            raise ValueError(f"setup_timeout_seconds must be positive, or -1 for no limit, not {setup_timeout_seconds}")
        if not isinstance(eager_install, bool):
            raise TypeError(f"eager_install must be True or False, not {eager_install!r}")
        super().__init__(setup_timeout_seconds=setup_timeout_seconds, eager_install=eager_install)


class RuntimeEnv(dict[str, Any]):
    """The environment that a task, an actor or a whole job runs in. A dict of the fields that were given.

    - `env_vars`: variables, set before the process begins; `${NAME}` in a value stands for what the node has.
    - `working_dir`: a directory or a zip file; processes run in a copy of it and find its modules first.
    - `py_modules`: packages' directories, modules, wheels or zip files, whose copies can be imported.
    - `excludes`: patterns as in `.gitignore`, of what is not copied.
    - `pip` or `uv`: a list of requirements, the path of a requirements file, or a dict with `packages` and options;
      they are installed once, into a cached environment.
    - `config`: a RuntimeEnvConfig, or a dict like it.
    - `others`: fields that only Ray has, refused by name.

    Directories are read, and lists installed, when the environment is first used on a node: one object that is used for
    many calls is read once. A task's or actor's fields go over those of whoever calls it; `env_vars` are merged.

    Raises TypeError for an unknown field or a wrong type, ValueError for a value that cannot be, UnsupportedOptionError
    for a field that only Ray has.
    """

    def __init__(
        self,
        *,
        working_dir: str | os.PathLike[str] | None = None,
        py_modules: Iterable[str | os.PathLike[str] | ModuleType] | None = None,
        excludes: Iterable[str] | None = None,
        pip: str | Iterable[str] | Mapping[str, Any] | None = None,
        uv: str | Iterable[str] | Mapping[str, Any] | None = None,
        env_vars: Mapping[str, str] | None = None,
        config: Mapping[str, Any] | None = None,
        **others: Any,
    ) -> None:
        super().__init__()
        given = {
            "working_dir": working_dir,
            "py_modules": py_modules,
            "excludes": excludes,
            "pip": pip,
            "uv": uv,
            "env_vars": env_vars,
            "config": config,
            **others,
        }
        for field, value in given.items():
            if value is not None or field not in FIELDS:
                self[field] = value

    @classmethod
    def of(cls, value: Any) -> RuntimeEnv | None:
        """What `value`, of a `runtime_env=`, means: an object as it is, a dict as an object, None or an empty one None.

        Raises what a RuntimeEnv raises."""
        if value is None or isinstance(value, cls):
            return value or None
        if not isinstance(value, Mapping):
            raise TypeError(f"runtime_env must be a dict or a RuntimeEnv, not {type(value).__name__}")
        if not all(isinstance(field, str) for field in value):
            raise TypeError("the fields of a runtime_env are named by strings")
        return cls(**value) or None

    def __setitem__(self, field: str, value: Any) -> None:
        checked = _checked(field, value)
        if (field == "pip" and "uv" in self) or (field == "uv" and "pip" in self):
            raise ValueError("a runtime_env has pip or uv, not both: list all packages under one of them")
        self.__dict__.pop("resolved", None)  # resolve.py keeps what it was the last time
        super().__setitem__(field, checked)

    def __delitem__(self, field: str) -> None:
        self.__dict__.pop("resolved", None)
        super().__delitem__(field)

    def _fixed(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused: what changes many fields at once would leave some unchecked."""
        raise TypeError("change a RuntimeEnv field by field: env['pip'] = [...]")

    clear = pop = popitem = setdefault = update = __ior__ = _fixed

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (dict(self), self.__dict__)

    def to_dict(self) -> dict[str, Any]:
        """The fields as a plain dict."""
        return dict(self)


def _rebuilt(fields: dict[str, Any], kept: dict[str, Any]) -> RuntimeEnv:
    made = RuntimeEnv.__new__(RuntimeEnv)
    for field, value in fields.items():
        dict.__setitem__(made, field, value)  # it was checked where it was written, maybe in another folder
    made.__dict__.update(kept)
    return made


def _checked(field: str, value: Any) -> Any:
    if field in REFUSED:
        error = UnsupportedOptionError(
            f"runtime_env[{field!r}] is not supported; {REFUSED[field]} (docs/runtime-environments.md)"
        )
        error.option = f"runtime_env.{field}"
        raise error
    if field not in FIELDS:
        raise TypeError(f"{field!r} is not a field of runtime_env; the fields are {', '.join(FIELDS)}")
    if field in INSTALLERS:
        return normalized(field, value)
    return _CHECKS[field](value)


def _working_dir(value: Any) -> str:
    path = _path("working_dir", value)
    if not os.path.isdir(path) and not _is_zip(path):
        raise ValueError(f"working_dir={value!r} is neither a directory nor a zip file ({path})")
    return path


def _py_modules(value: Any) -> list[str]:
    if isinstance(value, (str, bytes, os.PathLike, ModuleType)) or not isinstance(value, Iterable):
        raise TypeError(f"py_modules must be a list of paths and modules, not {value!r}")
    return [_py_module(each) for each in value]


def _py_module(value: Any) -> str:
    if isinstance(value, ModuleType):
        folders = list(getattr(value, "__path__", ()))
        found = folders[0] if folders else getattr(value, "__file__", None)
        if found is None:
            raise ValueError(f"py_modules: {value.__name__} has no file, so there is nothing to copy")
        return os.path.abspath(str(found))
    path = _path("py_modules", value)
    if not os.path.isdir(path) and not _is_zip(path) and not (path.endswith(".py") and os.path.isfile(path)):
        raise ValueError(
            f"py_modules: {value!r} is no package's directory, module (.py), wheel or zip file ({path}); give a "
            "requirement by name under pip or uv"
        )
    return path


def _path(field: str, value: Any) -> str:
    text = os.fspath(value) if isinstance(value, (str, os.PathLike)) else None
    if not isinstance(text, str):
        raise TypeError(f"{field}: {value!r} is not a path")
    if "://" in text:
        error = UnsupportedOptionError(
            f"{field}={text!r}: remote packages are not fetched; download it first, and give the path"
        )
        error.option = f"runtime_env.{field}"
        raise error
    return os.path.abspath(os.path.expanduser(text))


def _is_zip(path: str) -> bool:
    return path.endswith((".zip", ".whl")) and os.path.isfile(path)


def _excludes(value: Any) -> list[str]:
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise TypeError(f"excludes must be a list of patterns, not {value!r}")
    patterns = list(value)
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise TypeError(f"excludes: {pattern!r} is not a pattern")
    return patterns


def _env_vars(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise TypeError(f"env_vars must be a dict of strings, not {type(value).__name__}")
    for name, text in value.items():
        if not isinstance(name, str) or not isinstance(text, str):
            raise TypeError(f"env_vars: {name!r}: {text!r} must be strings, e.g. {{{str(name)!r}: {str(text)!r}}}")
        if not name or "=" in name or "\0" in name + text:
            raise ValueError(f"env_vars: no process can have a variable {name!r} with this value")
    return dict(value)


def _config(value: Any) -> RuntimeEnvConfig:
    if not isinstance(value, Mapping):
        raise TypeError(f"config must be a RuntimeEnvConfig or a dict, not {type(value).__name__}")
    return RuntimeEnvConfig(**value)


_CHECKS = {
    "config": _config,
    "env_vars": _env_vars,
    "excludes": _excludes,
    "py_modules": _py_modules,
    "working_dir": _working_dir,
}

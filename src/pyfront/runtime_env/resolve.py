# SPDX-License-Identifier: Apache-2.0
"""From what a user wrote to what processes tell each other: files copied, the caller's environment merged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from shoal.protocol.environment import Environment
from shoal.runtime_env.fields import DEFAULT_TIMEOUT_S, RuntimeEnv
from shoal.runtime_env.packages import Packages
from shoal.runtime_env.requirements import INSTALLERS, OPTIONS, install_of

ARCHIVES = (".zip", ".whl")


def resolve(
    own: RuntimeEnv, session: str, inherited: Environment | None, packages: Callable[[], Packages]
) -> Environment | None:
    """`own` put over the caller's environment; None: there is nothing to it.

    Reads files once for each object and session: what it found goes with the object, to workers too. Raises
    RuntimeEnvSetupError for files that cannot be copied or are too large.
    """
    kept: tuple[str, Environment] | None = own.__dict__.get("resolved")
    if kept is None or kept[0] != session:
        kept = own.__dict__["resolved"] = (session, _resolved(own, packages))
    merged = merge(inherited, kept[1], own)
    return None if merged == Environment() else merged


def merge(inherited: Environment | None, own: Environment, given: RuntimeEnv) -> Environment:
    """Fields that are given replace those of the caller; variables are added to its variables. Pure."""
    if inherited is None:
        return own
    changes: dict[str, Any] = {"env_vars": {**inherited.env_vars, **own.env_vars}}
    if "working_dir" in given:
        changes |= {"working_dir": own.working_dir, "source_dir": own.source_dir}
    if "py_modules" in given:
        changes["py_modules"] = own.py_modules
    if any(installer in given for installer in INSTALLERS):
        changes["install"] = own.install
    return msgspec.structs.replace(inherited, **changes)


def described(environment: Environment) -> RuntimeEnv:
    """What a user would write for it, with the copies in place of what was copied."""
    install = environment.install
    fields: dict[str, Any] = {
        "env_vars": environment.env_vars,
        "working_dir": environment.working_dir,
        "py_modules": environment.py_modules,
    }
    if install is not None:
        fields[install.installer] = {
            "packages": install.requirements.splitlines(),
            OPTIONS[install.installer]: install.options,
        }
    return RuntimeEnv(**{field: value for field, value in fields.items() if value})


def _resolved(own: RuntimeEnv, packages: Callable[[], Packages]) -> Environment:
    excludes = own.get("excludes", [])
    timeout_s = own.get("config", {}).get("setup_timeout_seconds", DEFAULT_TIMEOUT_S)
    installs = [install_of(installer, own[installer], timeout_s) for installer in INSTALLERS if installer in own]
    source = own.get("working_dir", "")
    working_dir = ""
    if source:
        take = packages().archive if source.endswith(ARCHIVES) else packages().directory
        working_dir = take(source, excludes)
    return Environment(
        env_vars=own.get("env_vars", {}),
        working_dir=working_dir,
        source_dir=source,
        py_modules=[_module(path, excludes, packages()) for path in own.get("py_modules", [])],
        install=installs[0] if installs else None,
    )


def _module(path: str, excludes: list[str], packages: Packages) -> str:
    return packages.archive(path, excludes) if path.endswith(ARCHIVES) else packages.module(path, excludes)

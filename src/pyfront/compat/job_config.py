# SPDX-License-Identifier: Apache-2.0
"""`ray.job_config.JobConfig` and `ray.LoggingConfig`: what `init` may be given in one object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass
class LoggingConfig:
    """How Ray configures Python's logging. Shoal leaves it to the program: giving one to `init` warns."""

    encoding: str = "TEXT"
    log_level: str = "INFO"
    additional_log_standard_attrs: list[str] = field(default_factory=list)


class JobConfig:
    """Settings of a job. Of these, `init` takes the namespace and the runtime environment; others must be unset."""

    def __init__(
        self,
        jvm_options: Sequence[str] | None = None,
        code_search_path: Sequence[str] | None = None,
        runtime_env: Mapping[str, Any] | None = None,
        metadata: Mapping[str, str] | None = None,
        ray_namespace: str | None = None,
        default_actor_lifetime: str = "non_detached",
    ) -> None:
        """`default_actor_lifetime`: "non_detached" only; say `lifetime="detached"` where an actor is to be so.

        Raises ValueError for `jvm_options`, `code_search_path` and another lifetime."""
        if jvm_options or code_search_path:
            raise ValueError("jvm_options and code_search_path: tasks and actors of Shoal are written in Python")
        self.runtime_env = dict(runtime_env or {})
        self.metadata = dict(metadata or {})
        self.ray_namespace = ray_namespace
        self.set_default_actor_lifetime(default_actor_lifetime)

    def set_metadata(self, key: str, value: str) -> None:
        """Note something about the job; nothing reads it."""
        self.metadata[key] = value

    def set_runtime_env(self, runtime_env: Mapping[str, Any] | None, validate: bool = False) -> None:
        """The environment of the job's tasks and actors; it is checked by `init`."""
        self.runtime_env = dict(runtime_env or {})

    def set_ray_namespace(self, ray_namespace: str) -> None:
        """The namespace of the job's named actors."""
        self.ray_namespace = ray_namespace

    def set_default_actor_lifetime(self, default_actor_lifetime: str) -> None:
        """Raises ValueError unless it is "non_detached"."""
        if default_actor_lifetime != "non_detached":
            raise ValueError(
                f"default_actor_lifetime={default_actor_lifetime!r}: give lifetime='detached' where an actor is made"
            )
        self.default_actor_lifetime = default_actor_lifetime

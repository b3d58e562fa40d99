# SPDX-License-Identifier: Apache-2.0
"""The environment of tasks and actors: variables, files, modules and packages that their processes find.

Given to `init`, `@remote` and `.options` as `runtime_env=`, as a `RuntimeEnv` or a plain dict of the same fields.

General layout: `fields` checks what users write, `requirements` reads lists of packages, `packages` copies files into
the node's folder, `resolve` makes of it what processes tell each other (`shoal.protocol.environment`).
"""

from __future__ import annotations

from shoal.runtime_env.fields import RuntimeEnv, RuntimeEnvConfig

__all__ = ["RuntimeEnv", "RuntimeEnvConfig"]

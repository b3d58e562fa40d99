# SPDX-License-Identifier: Apache-2.0
"""Which named actors there are."""

from __future__ import annotations

from typing import Literal, overload

from shoal.runtime import current


@overload
def list_named_actors(all_namespaces: Literal[False] = False) -> list[str]: ...
@overload
def list_named_actors(all_namespaces: Literal[True]) -> list[dict[str, str]]: ...
def list_named_actors(all_namespaces: bool = False) -> list[str] | list[dict[str, str]]:
    """The names of the living actors of this job's namespace, sorted; `get_actor` finds each.

    `all_namespaces=True`: those of every namespace of the node, each as `{"namespace": ..., "name": ...}`."""
    runtime = current()
    found = runtime.calls.named_actors(None if all_namespaces else runtime.namespace)
    if all_namespaces:
        return [{"namespace": namespace, "name": name} for namespace, name in found]
    return [name for _, name in found]

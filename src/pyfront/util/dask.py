# SPDX-License-Identifier: Apache-2.0
"""Dask on a node: `dask.compute(..., scheduler=shoal_dask_get)`, or `enable_shoal_on_dask()`. Needs the extra `dask`.

Each task of a Dask graph is a task of the node, with the refs of what it needs as arguments. The whole graph is
submitted at once; which task runs when is the node's business, and what lies between two tasks stays in the store. A
result is let go of when the last task that needs it has been submitted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import dask
from dask._task_spec import Alias, DataNode, convert_legacy_graph
from dask.order import order
from dask.utils import ensure_dict

from shoal._core._node import ObjectRef
from shoal.api import get, put, remote
from shoal.remote_function import RemoteFunction

__all__ = ["enable_shoal_on_dask", "shoal_dask_get"]


def shoal_dask_get(
    dsk: Mapping[Hashable, Any], keys: Any, *, task_options: Mapping[str, Any] | None = None, **kwargs: Any
) -> Any:
    """Dask's way to compute: the values of `keys`, a key or nested lists of them, in the graph `dsk`.

    `task_options`: options of the tasks, such as `{"num_cpus": 2}`; default those of any task. `kwargs` has no effect:
    it is there for the arguments of other schedulers. Raises the error of the first task that failed, as an instance of
    its own class, and what `shoal.remote` raises for a bad option."""
    expression = getattr(dsk, "__dask_graph__", None)  # what `dask.compute` gives since 2025
    graph = convert_legacy_graph(ensure_dict(dsk if expression is None else expression()))
    refs = _submit(graph, set(_flat(keys)), run_node.options(**task_options) if task_options else run_node)
    wanted = list(dict.fromkeys(_flat(keys)))
    values = dict(zip(wanted, get([refs[key] for key in wanted]), strict=True))
    return _arranged(keys, values)


def enable_shoal_on_dask() -> Any:
    """Make `shoal_dask_get` Dask's scheduler: for good, or within a `with` statement over what is returned.

    Shuffles of data frames are then made of tasks, not of files."""
    return dask.config.set({"scheduler": shoal_dask_get, "dataframe.shuffle.method": "tasks"})


@remote
def run_node(node: Any, names: list[Hashable], *values: Any) -> Any:
    """One task of a graph, on a worker: `node`, with the `values` of its arguments, which are called `names`."""
    return node(dict(zip(names, values, strict=True)))


def _submit(
    graph: Mapping[Hashable, Any], wanted: set[Hashable], run: RemoteFunction[..., Any]
) -> dict[Hashable, ObjectRef[Any]]:
    """Submit the graph -> the refs of what is wanted."""
    n_dependents = Counter(name for node in graph.values() for name in node.dependencies)
    place = order(graph)
    refs: dict[Hashable, ObjectRef[Any]] = {}
    for key in sorted(graph, key=place.__getitem__):
        node = graph[key]
        names = list(node.dependencies)
        if isinstance(node, Alias):
            refs[key] = refs[node.target]
        elif isinstance(node, DataNode):
            refs[key] = node.value if isinstance(node.value, ObjectRef) else put(node.value)
        else:
            refs[key] = run.remote(node, names, *(refs[name] for name in names))
        for name in names:
            n_dependents[name] -= 1
            if n_dependents[name] == 0 and name not in wanted:
                del refs[name]
    return refs


def _flat(keys: Any) -> Iterable[Hashable]:
    if not isinstance(keys, list):
        return [keys]
    return [key for part in keys for key in _flat(part)]


def _arranged(keys: Any, values: Mapping[Hashable, Any]) -> Any:
    return tuple(_arranged(part, values) for part in keys) if isinstance(keys, list) else values[keys]

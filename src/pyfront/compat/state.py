# SPDX-License-Identifier: Apache-2.0
"""`ray.util.state`: Shoal's functions, which take two arguments of Ray's besides.

`raise_on_missing_output` has no effect: what is missing warns (IncompleteStateWarning). Nor has `_explain`."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from shoal.util import state

IN_VAIN = ("raise_on_missing_output", "_explain")


def __getattr__(name: str) -> Any:
    function = getattr(state, name)
    if not callable(function) or name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = _lenient(function)
    return value


def _lenient(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **{name: value for name, value in kwargs.items() if name not in IN_VAIN})

    return call

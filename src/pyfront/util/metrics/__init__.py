# SPDX-License-Identifier: Apache-2.0
"""Metrics of programs: counters, gauges and histograms, from drivers, tasks and actors, with Ray's API.

An update stays in the process (`values`); what has changed is told to the node's daemon once a second (`reporting`),
which adds it up over processes and shows it to Prometheus if `init(metrics_export_port=...)` asks for that."""

from __future__ import annotations

import math
import re
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from shoal.protocol.metrics import Definition
from shoal.util.metrics.reporting import reporter
from shoal.util.metrics.values import MOST_SERIES, Cell, Tags

__all__ = ["Counter", "Gauge", "Histogram", "Metric"]

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
TAG = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
OWN_PREFIX = "shoal_"
RESERVED_TAG = "le"  # the label of a histogram's buckets

_values = reporter.values


class Metric(ABC):
    """Base of Counter, Gauge and Histogram. Several objects of one name are one metric. It can be passed to tasks and
    actors."""

    KIND = ""

    def __init__(self, name: str, description: str = "", tag_keys: Sequence[str] | None = None) -> None:
        """Define the metric.

        - `name`: letters, digits, underscores and colons; not beginning with "shoal_".
        - `description`: what Prometheus shows with it; default nothing.
        - `tag_keys`: names of the tags that each update gives values to; default none.

        Raises TypeError or ValueError for what Prometheus would not take, ValueError for a name that this process has
        defined otherwise."""
        self._define(name, description, tag_keys, ())

    def _define(
        self, name: str, description: str, tag_keys: Sequence[str] | None, boundaries: tuple[float, ...]
    ) -> None:
        _check_name(name)
        if not isinstance(description, str):
            raise TypeError(f"description must be a string, not {description!r}")
        _check_readable("description", description)
        self._definition = Definition(name, self.KIND, description, _checked_keys(tag_keys), boundaries)
        self._cells: dict[Tags, Cell] = _values.define(self._definition)
        self._default_tags: dict[str, str] = {}
        self._default: Tags | None = (
            None if self._definition.tag_keys else ()
        )  # the key without tags, if none is missing
        self._has_warned = False

    def set_default_tags(self, default_tags: Mapping[str, str]) -> Metric:
        """Give `default_tags` to each update that does not give them itself -> this metric. Replaces earlier ones.

        Raises TypeError for a value that is no string, ValueError for tags that `tag_keys` does not name."""
        _check_tags(self._definition, default_tags)
        self._default_tags = dict(default_tags)
        keys = self._definition.tag_keys
        self._default = tuple(default_tags[key] for key in keys) if all(key in default_tags for key in keys) else None
        return self

    @property
    def info(self) -> dict[str, Any]:
        """Name, description, tag_keys and default_tags; of a histogram its boundaries too."""
        definition = self._definition
        return {
            "name": definition.name,
            "description": definition.description,
            "tag_keys": definition.tag_keys,
            "default_tags": dict(self._default_tags),
        }

    @abstractmethod
    def record(self, value: float, tags: Mapping[str, str] | None = None) -> None:
        """Update it: `inc`, `set` or `observe` of `value` with `tags`, whichever the kind has. Raises the same."""

    def _key(self, tags: Mapping[str, str] | None) -> Tags:
        if not tags and self._default is not None:
            return self._default
        given = tags or {}
        _check_tags(self._definition, given)
        found = {**self._default_tags, **given}
        missing = [key for key in self._definition.tag_keys if key not in found]
        if missing:
            raise ValueError(
                f"metric {self._definition.name!r} needs the tags {', '.join(missing)}: give them with this call, or "
                "with set_default_tags()"
            )
        return tuple(found[key] for key in self._definition.tag_keys)

    def _full(self) -> None:
        if not self._has_warned:
            self._has_warned = True
            warnings.warn(
                f"metric {self._definition.name!r} has {MOST_SERIES:,} different sets of tags in this process; updates "
                "with further ones are dropped: tags should have few values",
                stacklevel=4,
            )

    def __reduce__(self) -> tuple[Any, ...]:
        definition = self._definition
        return _remade, (type(self), definition.name, definition.description, definition.tag_keys, self._default_tags)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._definition.name}>"


class Counter(Metric):
    """A number that grows. Over a node it is the sum of what its processes have added, those that ended included."""

    KIND = Definition.COUNTER

    def inc(self, value: float = 1.0, tags: Mapping[str, str] | None = None) -> None:
        """Add `value`, which must be above zero; default 1. `tags`: values of the tags, by key; default those of
        `set_default_tags`.

        Raises TypeError for what is no number or no string, ValueError for a number that is not above zero, for a tag
        that is missing and for one that `tag_keys` does not name."""
        amount = _number(value)
        if not 0 < amount < math.inf:
            raise ValueError(f"a counter can only grow: value must be above zero, not {value!r}")
        if not _values.add(self._cells, self._key(tags), amount):
            self._full()

    def record(self, value: float, tags: Mapping[str, str] | None = None) -> None:
        self.inc(value, tags)


class Gauge(Metric):
    """A number that goes up and down. Over a node it is what was set last, by whichever process."""

    KIND = Definition.GAUGE

    def set(self, value: float, tags: Mapping[str, str] | None = None) -> None:
        """Make `value` what it is. `tags`: values of the tags, by key; default those of `set_default_tags`.

        Raises TypeError for what is no number or no string, ValueError for a tag that is missing and for one that
        `tag_keys` does not name."""
        if not _values.set(self._cells, self._key(tags), _number(value)):
            self._full()

    def record(self, value: float, tags: Mapping[str, str] | None = None) -> None:
        self.set(value, tags)


class Histogram(Metric):
    """How values are distributed over buckets. Over a node it is the sum of what its processes have observed."""

    KIND = Definition.HISTOGRAM

    def __init__(
        self,
        name: str,
        description: str = "",
        boundaries: Sequence[float] | None = None,
        tag_keys: Sequence[str] | None = None,
    ) -> None:
        """As of Metric, for `name`, `description` and `tag_keys`. `boundaries`: the upper limits of the buckets, above
        zero and growing; a last bucket has no limit.

        Raises ValueError without `boundaries` and for bad ones, else what a Metric raises."""
        self._define(name, description, tag_keys, _checked_boundaries(name, boundaries))

    @property
    def info(self) -> dict[str, Any]:
        return {**super().info, "boundaries": list(self._definition.boundaries)}

    def observe(self, value: float, tags: Mapping[str, str] | None = None) -> None:
        """Count `value` in its bucket. `tags`: values of the tags, by key; default those of `set_default_tags`.

        Raises TypeError for what is no number or no string, ValueError for NaN, for a tag that is missing and for one
        that `tag_keys` does not name."""
        number = _number(value)
        if math.isnan(number):
            raise ValueError("NaN falls into no bucket")
        if not _values.observe(self._cells, self._key(tags), number, self._definition.boundaries):
            self._full()

    def record(self, value: float, tags: Mapping[str, str] | None = None) -> None:
        self.observe(value, tags)

    def __reduce__(self) -> tuple[Any, ...]:
        definition = self._definition
        parts = (definition.name, definition.description, list(definition.boundaries), definition.tag_keys)
        return _remade, (type(self), *parts, self._default_tags)


def _remade(kind: type[Metric], *parts: Any) -> Metric:
    *arguments, default_tags = parts
    return kind(*arguments).set_default_tags(default_tags)


def _number(value: Any) -> float:
    """A plain float: one of numpy's could not be sent, nor any later report."""
    try:
        if not isinstance(value, str):
            return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
    except (TypeError, ValueError):
        pass
    raise TypeError(f"a metric's value is a number, not {value!r}")


def _check_name(name: object) -> None:
    if not isinstance(name, str):
        raise TypeError(f"a metric's name is a string, not {name!r}")
    if not NAME.fullmatch(name):
        raise ValueError(f"a metric's name consists of letters, digits, underscores and colons, unlike {name!r}")
    if name.startswith(OWN_PREFIX):
        raise ValueError(f"names that begin with {OWN_PREFIX} are the node's own: choose another one than {name!r}")


def _checked_keys(tag_keys: Sequence[str] | None) -> tuple[str, ...]:
    if tag_keys is None:
        return ()
    if isinstance(tag_keys, str) or not isinstance(tag_keys, Sequence):
        raise TypeError(f"tag_keys must be a tuple of strings, not {tag_keys!r}")
    for key in tag_keys:
        if not isinstance(key, str):
            raise TypeError(f"a tag's key is a string, not {key!r}")
        if not TAG.fullmatch(key) or key.startswith("__") or key == RESERVED_TAG:
            raise ValueError(f"{key!r} cannot be a tag's key: use letters, digits and underscores, and not 'le'")
    if len({*tag_keys}) != len(tag_keys):
        raise ValueError(f"a tag's key is there twice: {tuple(tag_keys)}")
    return tuple(tag_keys)


def _checked_boundaries(name: str, boundaries: Sequence[float] | None) -> tuple[float, ...]:
    if not boundaries:
        raise ValueError(f"histogram {name!r} needs boundaries, such as [0.1, 1, 10]")
    limits = tuple(float(limit) for limit in boundaries)
    if not all(0 < limit < math.inf for limit in limits):
        raise ValueError(f"boundaries must be above zero and finite, not {list(boundaries)}")
    if any(one >= other for one, other in pairwise(limits)):
        raise ValueError(f"boundaries must grow, unlike {list(boundaries)}")
    return limits


def _check_tags(definition: Definition, tags: Mapping[str, str]) -> None:
    for key, value in tags.items():
        if key not in definition.tag_keys:
            known = ", ".join(definition.tag_keys) or "none"
            raise ValueError(f"metric {definition.name!r} has no tag {key!r}; its tag_keys are: {known}")
        if not isinstance(value, str):
            raise TypeError(f"the value of tag {key!r} must be a string, not {value!r}")
        _check_readable(f"the value of tag {key!r}", value)


def _check_readable(what: str, text: str) -> None:
    """A report with such a text in it could not be sent, nor any later one."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{what} must be text that can be written as UTF-8, unlike {text!r}") from None

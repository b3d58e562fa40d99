# SPDX-License-Identifier: Apache-2.0
"""The options that say where a call may run: their checks, and the place that they come to. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from shoal.protocol.places import ANY_BUNDLE, DOES_NOT_EXIST, EXISTS, IN, NOT_IN, LabelRule, Place

if TYPE_CHECKING:
    from shoal.task import strategies as s

OF_A_GROUP = ("placement_group", "placement_group_bundle_index", "placement_group_capture_child_tasks")
"""Options of their own in older programs; a strategy says the same."""
ABOUT_PLACES = frozenset({*OF_A_GROUP, "label_selector", "scheduling_strategy"})


def place_of(
    strategy: s.SchedulingStrategy, selector: Mapping[str, str] | None, captured: Place | None = None
) -> Place:
    """The place that options ask for. `captured`: of the task that submits the call, if its children run there too."""
    rules = tuple(selector_rules(selector or {}))
    if strategy is None:
        return Place(rules=rules) if captured is None else captured._replace(rules=rules)
    from shoal.task import strategies as s  # few programs have one

    if isinstance(strategy, s.PlacementGroupSchedulingStrategy):
        group = strategy.placement_group
        if group is None or group.is_empty:
            return Place(rules=rules)
        captures = strategy.placement_group_capture_child_tasks
        return Place(
            group.id.hex(),
            strategy.placement_group_bundle_index,
            captured is not None if captures is None else captures,
            rules=rules,
        )
    if isinstance(strategy, s.NodeAffinitySchedulingStrategy) and not strategy.soft:
        return Place(node_id=strategy.node_id, rules=rules)
    if isinstance(strategy, s.NodeLabelSchedulingStrategy):
        return Place(rules=(*rules, *(_rule(label, match) for label, match in strategy.hard.items())))
    return Place(rules=rules)


def _rule(label: str, match: s.LabelMatch) -> LabelRule:
    from shoal.task import strategies as s

    if isinstance(match, (s.In, s.NotIn)):
        return LabelRule(label, IN if isinstance(match, s.In) else NOT_IN, tuple(match.values))
    return LabelRule(label, EXISTS if isinstance(match, s.Exists) else DOES_NOT_EXIST)


def selector_rules(selector: Mapping[str, str]) -> Iterator[LabelRule]:
    """The rules of a `label_selector`: {label: "a"}, "!a", "in(a, b)" or "!in(a, b)"."""
    for label, text in selector.items():
        is_not, wanted = text.startswith("!"), text.removeprefix("!").strip()
        if wanted.startswith("in(") and wanted.endswith(")"):
            values = tuple(value.strip() for value in wanted[3:-1].split(","))
        else:
            values = (wanted,)
        yield LabelRule(label, NOT_IN if is_not else IN, values)


# -- options


def check_labels(name: str, labels: object) -> dict[str, str]:
    """Labels, or a label selector, as given; None: none. Raises TypeError, ValueError."""
    if labels is None:
        return {}
    if not isinstance(labels, Mapping):
        raise TypeError(f"{name} must be a dict of strings, not {type(labels).__name__}")
    for label, value in labels.items():
        if not (isinstance(label, str) and isinstance(value, str)):
            raise TypeError(f"{name} must be a dict of strings, not of {label!r}: {value!r}")
        if not (label and value):
            raise ValueError(f"{name}[{label!r}]={value!r}: neither a label nor its value may be empty")
    return dict(labels)


def check_strategy(strategy: object) -> s.SchedulingStrategy:
    """A value of `scheduling_strategy`. Raises TypeError, ValueError."""
    if strategy is None:
        return None
    from shoal.task import strategies as s

    if isinstance(
        strategy,
        (s.PlacementGroupSchedulingStrategy, s.NodeAffinitySchedulingStrategy, s.NodeLabelSchedulingStrategy),
    ):
        return strategy
    if not isinstance(strategy, str):
        raise TypeError(f"scheduling_strategy must be a string or a strategy, not {type(strategy).__name__}")
    if strategy not in (s.DEFAULT, s.SPREAD):
        raise ValueError(
            f"scheduling_strategy={strategy!r}: it is {s.DEFAULT!r}, {s.SPREAD!r}, or one of "
            "shoal.util.scheduling_strategies"
        )
    return strategy


def with_strategy(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The options with those about places checked, and older ones for groups turned into a strategy.

    Raises TypeError, ValueError."""
    if not ABOUT_PLACES & given.keys():
        return given
    known = dict(given)
    older = {option: known.pop(option) for option in OF_A_GROUP if option in known}
    if "label_selector" in known:
        known["label_selector"] = check_labels("label_selector", known["label_selector"])
    if "scheduling_strategy" in known:
        known["scheduling_strategy"] = check_strategy(known["scheduling_strategy"])
    group = older.get("placement_group", "default")
    if group == "default" or (group is None and known.get("scheduling_strategy") is not None):
        return known
    if known.get("scheduling_strategy") is not None:
        raise ValueError("placement_group and scheduling_strategy say where a call runs: give one of them")
    from shoal.task import strategies as s

    known["scheduling_strategy"] = s.PlacementGroupSchedulingStrategy(
        group,
        older.get("placement_group_bundle_index", ANY_BUNDLE),
        older.get("placement_group_capture_child_tasks"),
    )
    return known

# SPDX-License-Identifier: Apache-2.0
"""What a placement group is asked for: bundles of resources, and how they are to lie. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

PACK, SPREAD, STRICT_PACK, STRICT_SPREAD = STRATEGIES = ("PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD")
MAX_BUNDLES = 4096


def check_bundles(bundles: object) -> list[dict[str, float]]:
    """The bundles without zero amounts. Raises TypeError, ValueError."""
    if not isinstance(bundles, (list, tuple)):
        raise TypeError(f"bundles must be a list of dicts, not {type(bundles).__name__}")
    if not 0 < len(bundles) <= MAX_BUNDLES:
        raise ValueError(f"a placement group has from 1 to {MAX_BUNDLES} bundles, not {len(bundles)}")
    return [_check_bundle(f"bundles[{index}]", bundle) for index, bundle in enumerate(bundles)]


def _check_bundle(name: str, bundle: object) -> dict[str, float]:
    if not isinstance(bundle, Mapping):
        raise TypeError(f"{name} must be a dict of resources, not {type(bundle).__name__}")
    for kind, amount in bundle.items():
        if not isinstance(kind, str):
            raise TypeError(f"{name}: the resource {kind!r} must be named by a string")
        if isinstance(amount, bool) or not isinstance(amount, (int, float)):
            raise TypeError(f"{name}[{kind!r}] must be a number, not {type(amount).__name__}")
        if not 0 <= amount < float("inf"):
            raise ValueError(f"{name}[{kind!r}] must be zero or more and finite, not {amount}")
        if kind != "memory" and abs(amount * 1000 - round(amount * 1000)) > 1e-6:
            raise ValueError(f"{name}[{kind!r}]={amount}: amounts are multiples of 0.001")
        if kind == "GPU" and amount > 1 and amount != int(amount):
            raise ValueError(f"{name}['GPU']={amount}: more than one GPU must be a whole number")
    found = {kind: float(amount) for kind, amount in bundle.items() if amount}
    if not found:
        raise ValueError(f"{name} sets nothing aside: give it an amount of something, e.g. {{'CPU': 1}}")
    return found


def check_group_strategy(strategy: object) -> str:
    """One of the four. Raises ValueError."""
    if strategy not in STRATEGIES:
        raise ValueError(f"strategy must be one of {', '.join(STRATEGIES)}, not {strategy!r}")
    return str(strategy)


def total_of(bundles: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """All bundles together."""
    total: dict[str, float] = {}
    for bundle in bundles:
        for kind, amount in bundle.items():
            total[kind] = total.get(kind, 0.0) + amount
    return total


def holds(bundle: Mapping[str, float], demand: Mapping[str, float]) -> bool:
    """Whether a bundle with nothing in it would do for a demand."""
    return all(amount <= bundle.get(kind, 0.0) for kind, amount in demand.items())


def is_there_room(bundles: Sequence[Mapping[str, float]], index: int, demand: Mapping[str, float]) -> bool:
    """Whether a demand fits into one bundle of a group, or any of them (-1), while nothing else is in it."""
    return any(holds(bundle, demand) for bundle in (bundles if index < 0 else bundles[index : index + 1]))

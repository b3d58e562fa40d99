# SPDX-License-Identifier: Apache-2.0
"""The bars that Shoal has set itself, each beside its measured value. A bar without a value is not met."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from systems.registry import BY_KEY, PEERS, SHOAL

from .limit_rows import COPY, PIPELINED, SYNC
from .numbers import number, times
from .results import Results

# Start-up and memory have bars of their own: an executor that only forks its caller starts sooner and shares more.
NOT_SPEED = frozenset(
    {
        "import",
        "init to first result",
        "program start to first result",
        "memory per idle worker",
        "CPU of an idle node",
        "memory per queued task",
    }
)
PEER_KEYS = tuple(system.key for system in PEERS)
OTHER_KEYS = tuple(key for key in PEER_KEYS if key != "ray")


@dataclass(frozen=True)
class Verdict:
    """A bar, what was measured, and whether that meets it."""

    what: str
    bar: str
    measured: str
    is_met: bool


Bar = Callable[[Results], Verdict]


def at_most(row: str, limit: float) -> Bar:
    """Shoal's cost in `row` is at most `limit`, in the unit of the row."""
    return _absolute(row, limit, "≤", lambda value: value <= limit)


def at_least(row: str, limit: float) -> Bar:
    """Shoal's rate in `row` is at least `limit`, in the unit of the row."""
    return _absolute(row, limit, "≥", lambda value: value >= limit)


def times_peer(row: str, factor: float, peers: tuple[str, ...], whom: str) -> Bar:
    """Shoal is at least `factor` times better in `row` than the best of `peers`, named `whom` in the table."""

    def judge(results: Results) -> Verdict:
        best = results.best(row, peers)
        ratio = results.advantage(row, SHOAL, best) if best else None
        if best is None or ratio is None:
            return Verdict(row, f"≥ {factor:g}x {whom}", _missing(results, row), False)
        return Verdict(row, f"≥ {factor:g}x {whom}", f"{times(ratio)} {BY_KEY[best].title}", ratio >= factor)

    return judge


def share_of_limit(row: str, limit_row: str, share: float) -> Bar:
    """Shoal's rate in `row` is at least `share` of the machine's limit `limit_row`."""

    def judge(results: Results) -> Verdict:
        mine, limit = results.median(row, SHOAL), results.median(limit_row, "limit")
        bar = f"≥ {share:g} of {limit_row}"
        if mine is None or limit is None:
            return Verdict(row, bar, _missing(results, row), False)
        return Verdict(row, bar, f"{mine / limit:.2f} ({number(mine)} of {number(limit)})", mine / limit >= share)

    return judge


def independent_of_size(large: str, small: str, factor: float) -> Bar:
    """Shoal's cost in `large` is at most `factor` times that in `small`."""

    def judge(results: Results) -> Verdict:
        of_large, of_small = results.median(large, SHOAL), results.median(small, SHOAL)
        bar = f"≤ {factor:g}x {small}"
        if of_large is None or of_small is None:
            return Verdict(large, bar, _missing(results, large), False)
        return Verdict(large, bar, times(of_large / of_small), of_large <= factor * of_small)

    return judge


def geometric_mean(rows: tuple[str, ...], factor: float) -> Bar:
    """Over `rows`, those that both have, Shoal is `factor` times better than Ray in the geometric mean."""

    def judge(results: Results) -> Verdict:
        what, bar = "geometric mean of Ray's own rows", f"≥ {factor:g}x Ray"
        ratios = [ratio for row in rows if (ratio := results.advantage(row, SHOAL, "ray")) is not None]
        if not ratios:
            return Verdict(what, bar, "not measured", False)
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
        return Verdict(what, bar, f"{times(mean)} Ray in {len(ratios)} rows", mean >= factor)

    return judge


def each_at_least(rows: tuple[str, ...], factor: float) -> Bar:
    """In each of `rows` that both have, Shoal is at least `factor` times better than Ray."""

    def judge(results: Results) -> Verdict:
        what, bar = "each of Ray's own rows, bandwidth aside", f"≥ {factor:g}x Ray"
        ratios = {row: ratio for row in rows if (ratio := results.advantage(row, SHOAL, "ray")) is not None}
        if not ratios:
            return Verdict(what, bar, "not measured", False)
        worst = min(ratios, key=ratios.__getitem__)
        return Verdict(what, bar, f"{times(ratios[worst])} in {worst}", ratios[worst] >= factor)

    return judge


def never_slower(results: Results) -> Verdict:
    """In no throughput or latency row is Shoal slower than any peer. A row that Shoal skips, saying so, is not one."""
    what, bar = "every throughput and latency row", "no peer is faster"
    slower: list[str] = []
    n_rows = 0
    for row in results.units:
        best = results.best(row, PEER_KEYS)
        if row in NOT_SPEED or best is None or results.cell(row, SHOAL).failure.startswith("skipped"):
            continue
        n_rows += 1
        ratio = results.advantage(row, SHOAL, best)
        if ratio is None:
            slower.append(f"{row} (no value)")
        elif ratio < 1:
            slower.append(f"{row} ({times(ratio)} {BY_KEY[best].title})")
    if not n_rows:
        return Verdict(what, bar, "not measured", False)
    return Verdict(what, bar, f"slower in {len(slower)} of {n_rows}: {', '.join(slower)}".rstrip(": "), not slower)


def _absolute(row: str, limit: float, sign: str, is_met: Callable[[float], bool]) -> Bar:
    def judge(results: Results) -> Verdict:
        value = results.median(row, SHOAL)
        unit = results.units.get(row, "")
        bar = f"{sign} {limit:g} {unit}".rstrip()
        if value is None:
            return Verdict(row, bar, _missing(results, row), False)
        return Verdict(row, bar, f"{number(value)} {unit}", is_met(value))

    return judge


def _missing(results: Results, row: str) -> str:
    return results.cell(row, SHOAL).failure or "not measured"


# The rows of Ray's own single-machine benchmark.
RAY_BANDWIDTH_ROWS = ("single client put gigabytes", "multi client put gigabytes")
RAY_RATE_ROWS = (
    "single client get calls",
    "single client put calls",
    "multi client put calls",
    "single client get object containing 10k refs",
    "single client wait 1k refs",
    "single client tasks and get batch",
    "single client tasks sync",
    "single client tasks async",
    "multi client tasks async",
    "1:1 actor calls sync",
    "1:1 actor calls async",
    "1:1 actor calls concurrent",
    "1:n actor calls async",
    "n:n actor calls async",
    "n:n actor calls with arg async",
    "1:1 async-actor calls sync",
    "1:1 async-actor calls async",
    "1:1 async-actor calls with args async",
    "1:n async-actor calls async",
    "n:n async-actor calls async",
)

RAY = ("ray",)
BARS: tuple[Bar, ...] = (
    at_most("import", 80),
    at_most("init to first result", 0.3),
    times_peer("single client tasks sync", 40, RAY, "Ray"),
    times_peer("single client tasks sync", 3, OTHER_KEYS, "best other peer"),
    times_peer("single client tasks async", 80, RAY, "Ray"),
    times_peer("single client tasks async", 3, ("pool",), "Pool.map(chunksize=1)"),
    times_peer("1:1 actor calls sync", 20, RAY, "Ray"),
    times_peer("1:1 actor calls async", 25, RAY, "Ray"),
    times_peer("single client put calls", 100, RAY, "Ray"),
    times_peer("single client get calls", 50, RAY, "Ray"),
    geometric_mean(RAY_RATE_ROWS + RAY_BANDWIDTH_ROWS, 50),
    each_at_least(RAY_RATE_ROWS, 8),
    share_of_limit("single client tasks sync", SYNC, 0.25),
    share_of_limit("single client tasks async", PIPELINED, 0.2),
    share_of_limit("single client put gigabytes", COPY, 0.85),
    share_of_limit("multi client put gigabytes", COPY, 0.85),
    at_most("get of an 800 MB array", 20),
    independent_of_size("get of an 800 MB array", "get of an 8 MB array", 2),
    at_least("actor creation", 300),
    at_most("memory per idle worker", 15),
    at_most("CPU of an idle node", 0.5),
    at_most("chain of 10,000 dependent tasks", 15),
    at_most("1,000,000 queued tasks", 12),
    at_most("memory per queued task", 1),
    at_most("10,000 arguments", 0.1),
    at_most("3,000 returns", 0.1),
    at_most("get of 10,000 refs", 0.1),
    never_slower,
)


def judge_all(results: Results) -> list[Verdict]:
    """Every bar, judged."""
    return [bar(results) for bar in BARS]

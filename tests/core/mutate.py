# SPDX-License-Identifier: Apache-2.0
"""Mutants of the core, and which check catches each.

Each ordering verb of the lock-free paths is weakened by one step, each fence is removed, each guard is left out, one at
a time. Each mutant meets the checks, cheapest first, until one fails: the explorer (those of its scenarios that run the
line, under C11), the C programs with hooks, and for orderings the stress program under the thread sanitizer. What no
check catches survives; survivors that behave like the core are listed, with the reason, in equivalent_mutants.txt.

    python tests/core/mutate.py [--only TEXT] [--kind ordering|guard] [--list] [--report FILE]
                                [--resume REPORT...] [--trust] [--thorough] [--no-run]

Exits with 1 when a survivor is not in that list. A full run takes hours; `make prove` makes one, after the explorer.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from fnmatch import fnmatch
from pathlib import Path

from mutants import CORE, Mutant, mutants

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
WORK = Path(os.environ.get("MUTANTS_WORK", ROOT / "build" / "mutants"))
TREE = WORK / "tree"
EQUIVALENT = HERE / "equivalent_mutants.txt"

QUICK_PROGRAMS = ["pool", "heap", "entry", "ring", "waiter", "park", "seat", "order", "refs", "task", "sweep"]
QUICK_PROGRAMS += ["counts", "local", "claim", "idle", "tick", "cancel", "overdue", "priority", "recover", "stream"]
QUICK_PROGRAMS += ["call_log", "call_log_ends", "call_log_children", "call_log_damage"]
QUICK_PROGRAMS += ["survey", "spill", "spill_races", "children", "kept", "board", "group", "ledger", "trace", "crew"]
QUICK_PROGRAMS += ["lease", "lineup"]
OWN_PROGRAMS = {"node/children.c": ["children", "kept"]}  # else the one that is called like the file
LONG_PROGRAMS = ["kill", "stress", "stop", "crash"]
LONG_SECONDS = 300  # they end within one minute, if the machine does nothing else


# ---- builds ----


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["make", "--silent", "-C", str(folder), *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def make_explorer(out: str, extra: str, link: str = "", tree: Path = TREE) -> subprocess.CompletedProcess[str]:
    return make(
        HERE / "explore", f"CORE_ROOT={tree}", f"OUT={WORK / out}", f"EXTRA={extra}", f"EXTRA_LINK={link}", "-j2"
    )


MUTANT_FLAGS = f"-D_GNU_SOURCE -include {HERE / 'weaker.h'} -Wno-error -w"


def make_program(variant: str, program: str) -> subprocess.CompletedProcess[str]:
    return make(
        HERE, f"CORE_ROOT={TREE}", f"OUT={WORK / variant}", f"VARIANT={variant}", f"EXTRA={MUTANT_FLAGS}", program
    )


def copy_tree() -> None:
    shutil.rmtree(TREE, ignore_errors=True)
    shutil.copytree(CORE, TREE / "src" / "core", ignore=shutil.ignore_patterns("*.so", "__pycache__"))


# ---- which scenario runs which line ----


def coverage() -> dict[str, dict[str, object]]:
    """By scenario: seconds of a short run, and the lines of the core that it runs."""
    saved = WORK / "coverage.json"
    out = WORK / "covered"
    done = make_explorer("covered", f"{MUTANT_FLAGS} --coverage", "--coverage")
    if done.returncode:
        raise SystemExit(done.stderr)
    binary = out / "explore"
    if saved.exists() and saved.stat().st_mtime > binary.stat().st_mtime:
        return json.loads(saved.read_text())  # type: ignore[no-any-return]
    names = subprocess.run([binary, "--list"], check=True, capture_output=True, text=True).stdout.splitlines()
    result: dict[str, dict[str, object]] = {}
    for name in names:
        for old in out.rglob("*.gcda"):
            old.unlink()
        begin = time.monotonic()
        # Walks come to lines that the search reaches late.
        short = ["--model", "c11", "--walks", "1000", "--limit", "2000"]
        subprocess.run([binary, "--only", name, *short], check=True, capture_output=True)
        seconds = time.monotonic() - begin
        lines: list[str] = []
        notes = sorted(out.rglob("*.gcda"))  # of scenarios too: they have inlined what headers hold
        told = subprocess.run(
            ["gcov", "--stdout", "--json-format", *notes], check=True, capture_output=True, text=True, cwd=WORK
        ).stdout
        for chunk in told.splitlines():
            for file in json.loads(chunk)["files"]:
                if f"{TREE}/src/core/" in file["file"]:
                    short = file["file"].split("/src/core/")[1]
                    lines += [f"{short}:{line['line_number']}" for line in file["lines"] if line["count"]]
        result[name] = {"seconds": seconds, "lines": sorted(set(lines))}
    saved.write_text(json.dumps(result))
    return result


# ---- checks ----

# Random walks, then executions of the search, of a scenario: nearly all that is found is found early.
SEARCH = ["--walks", "5000", "--limit", "5000"]
THOROUGH_SEARCH = ["--walks", "100000", "--limit", "400000"]
SEARCH_SCENARIOS = 40  # of those that run the line
SEARCH_SECONDS = 10
THOROUGH_SEARCH_SECONDS = 30


def run_limited(command: list[str], seconds: int) -> int:
    """Exit status; raises TimeoutExpired when all that it started has been killed."""
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        try:
            return process.wait(timeout=seconds)
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)


def explore(scenarios: list[str], thorough: bool, models: list[str]) -> str | None:
    if make_explorer("explore", MUTANT_FLAGS).returncode:
        return "the compiler"
    search = THOROUGH_SEARCH if thorough else SEARCH
    seconds = THOROUGH_SEARCH_SECONDS if thorough else SEARCH_SECONDS
    for name in scenarios if thorough else scenarios[:SEARCH_SCENARIOS]:
        for model in models:
            command = [str(WORK / "explore" / "explore"), "--only", name, "--model", model, *search]
            try:
                status = run_limited(command, seconds)
            except subprocess.TimeoutExpired:
                continue
            if status:
                return f"explorer: {name}"
    return None


def launcher(variant: str) -> list[str]:
    """gcc 12's thread sanitizer needs a predictable address space."""
    return ["setarch", "--addr-no-randomize"] if variant == "tsan" else []


def run_programs(variant: str, programs: list[str], seconds: int) -> str | None:
    for program in programs:
        name = f"test_{program}"
        built = make_program(variant, name)
        if built.returncode:
            raise SystemExit(built.stderr)
        command = [*launcher(variant), str(WORK / variant / name)]
        try:
            status = run_limited(command, seconds)
        except subprocess.TimeoutExpired:
            return f"{name} ({variant}): it hangs"
        if status:
            return f"{name} ({variant})"
    return None


def catch(mutant: Mutant, covered: dict[str, dict[str, object]], thorough: bool) -> str | None:
    place = f"{mutant.file}:{mutant.line}"
    text = (CORE / mutant.file).read_text()
    target = TREE / "src" / "core" / mutant.file
    near = [f"{mutant.file}:{mutant.line + d}" for d in (0, 1, -1)]
    scenarios = [n for n, c in covered.items() if place in c["lines"]]  # type: ignore[operator]
    if not scenarios:
        scenarios = [n for n, c in covered.items() if any(p in c["lines"] for p in near)]  # type: ignore[operator]
    scenarios.sort(key=lambda n: len(covered[n]["lines"]))  # type: ignore[arg-type] # those that are about little else first
    kept = keep_objects(mutant.file)
    target.write_text(text[: mutant.start] + mutant.text + text[mutant.end :])
    try:
        # What is wrong whatever is reordered is found soonest by the test of that file, or where nothing is reordered.
        own = [p for p in QUICK_PROGRAMS if p in OWN_PROGRAMS.get(mutant.file, [Path(mutant.file).stem])]
        by = None if mutant.ordering else run_programs("hooks", own, 60)
        if not by:
            by = explore(scenarios, thorough, ["c11"] if mutant.ordering else ["sc", "c11"])
        if not by and not mutant.ordering:
            by = run_programs("hooks", [p for p in QUICK_PROGRAMS if p not in own], 60)
        if not by and mutant.ordering and thorough:
            by = run_programs("tsan", ["stress"], 120)
        if not by and not mutant.ordering:
            by = run_programs("hooks", LONG_PROGRAMS, LONG_SECONDS)
        return by
    finally:
        target.write_text(text)
        for path, saved in kept.items():
            os.utime(target, (0, 0))
            path.write_bytes(saved)


def keep_objects(file: str) -> dict[Path, bytes]:
    """The objects of the file as it is, so that they need not be compiled again after each mutant."""
    if file.endswith(".h"):
        return {}
    paths = [WORK / variant / "src" / f"{file.removesuffix('.c')}.o" for variant in ("explore", "hooks", "tsan")]
    return {path: path.read_bytes() for path in paths if path.exists()}


# ---- the report ----


def why_equivalent(mutant: Mutant) -> str | None:
    for line in EQUIVALENT.read_text().splitlines():
        pattern, bar, reason = line.partition(" | ")
        if bar and not line.startswith("#") and fnmatch(mutant.name, pattern.strip()):
            return reason.strip()
    return None


def percent(part: int, whole: int) -> str:
    return f"{100.0 * part / whole:.1f} %" if whole else "-"


def text_of(file: str) -> str:
    """A name of what the file says now."""
    return hashlib.sha256((CORE / file).read_bytes()).hexdigest()[:12]


def report(rows: list[tuple[Mutant, str | None]], texts: dict[str, str], path: Path) -> list[Mutant]:
    """Write the table; `None` means not tried, `""` that no check caught it. `texts`: by file, what it said when its
    mutants were tried. Returns the survivors without a reason."""
    lines = [
        "# Mutants of the core",
        "",
        "Written by `tests/core/mutate.py` (`make prove`). Each ordering is weakened by a step, each fence and guard",
        "left out, one at a time; the first check that fails is named. Equivalent ones are not counted.",
        "",
        "| | mutants | caught | equivalent | survive | not tried | caught of those tried that differ |",
        "|---|---|---|---|---|---|---|",
    ]
    unknown: list[Mutant] = []
    for kind, ordering in (("orderings", True), ("guards", False)):
        mine = [(m, by) for m, by in rows if m.ordering is ordering]
        caught = sum(1 for _, by in mine if by)
        equal = sum(1 for m, by in mine if not by and why_equivalent(m))
        survive = [m for m, by in mine if by == "" and not why_equivalent(m)]
        untried = len(mine) - caught - equal - len(survive)
        unknown += survive
        rate = percent(caught, caught + len(survive))
        lines.append(f"| {kind} | {len(mine)} | {caught} | {equal} | {len(survive)} | {untried} | {rate} |")
    lines += ["", "What each file said when its mutants were tried, by the first digits of its SHA-256:", ""]
    lines += ["| file | mutants | text | since then |", "|---|---|---|---|"]
    for file in dict.fromkeys(m.file for m, _ in rows):
        text, n = texts.get(file, ""), sum(m.file == file for m, _ in rows)
        since = "unchanged" if text == text_of(file) else "changed" if text else "-"
        lines.append(f"| {file} | {n} | {text or 'not tried'} | {since} |")
    lines += ["", "| line | in | mutant | caught by |", "|---|---|---|---|"]
    for m, by in rows:
        what = m.what.replace("|", "\\|")
        if not by:
            reason = why_equivalent(m)
            by = f"*equivalent*: {reason}" if reason else "not tried" if by is None else "**survives**"
        lines.append(f"| {m.file}:{m.line} | `{m.function}` | `{what}` | {by} |")
    path.write_text("\n".join(lines) + "\n")
    return unknown


ROW = re.compile(r"\| ([\w./]+):\d+ \| `(\w*)` \| `(.*)` \| (.*) \|")
TEXT_ROW = re.compile(r"\| ([\w./]+) \| \d+ \| ([0-9a-f]+) \| \w+ \|")


def texts_before(path: Path) -> dict[str, str]:
    """What an earlier report says of the text that its mutants were made of, by file."""
    return dict(row.groups() for row in map(TEXT_ROW.fullmatch, path.read_text().splitlines()) if row)


def found_before(path: Path) -> dict[str, str]:
    """What an earlier report says of each mutant that was tried: by key, the check that caught it or \"\"."""
    found: dict[str, str] = {}
    names: list[str] = []
    for line in path.read_text().splitlines():
        row = ROW.fullmatch(line)
        if not row:
            continue
        file, function, what, by = row.groups()
        name = f"{file}:{function}: {what}".replace("\\|", "|")
        key = f"{name} #{names.count(name)}"
        names.append(name)
        if by == "**survives**":
            found[key] = ""
        elif by != "not tried" and not by.startswith("*equivalent*"):
            found[key] = by
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="mutants whose file:function: what contains this")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--kind", choices=["ordering", "guard"])
    parser.add_argument("--thorough", action="store_true", help="the thread sanitizer too, for orderings")
    parser.add_argument("--trust", action="store_true", help="do not try what equivalent_mutants.txt lists")
    parser.add_argument("--resume", type=Path, nargs="+", default=[], help="keep what earlier reports say was caught")
    parser.add_argument("--no-run", action="store_true", help="only write the report of what was found before")
    parser.add_argument("--report", type=Path, default=WORK / "mutants.md")
    options = parser.parse_args()
    chosen = [m for m in mutants() if options.only in m.name]
    if options.kind:
        chosen = [m for m in chosen if m.ordering == (options.kind == "ordering")]
    if options.list:
        for m in chosen:
            print(f"{m.file}:{m.line}: {m.function}: {m.what}")
        print(len(chosen), "mutants")
        return 0
    WORK.mkdir(parents=True, exist_ok=True)
    results: dict[str, str] = {}
    texts: dict[str, str] = {}
    for earlier in options.resume:
        texts |= texts_before(earlier)
        results |= {key: by for key, by in found_before(earlier).items() if by or key not in results}
    keys = [f"{m.name} #{sum(1 for other in chosen[:i] if other.name == m.name)}" for i, m in enumerate(chosen)]
    if not options.no_run:
        copy_tree()
        covered = coverage()
        if make_explorer("explore", MUTANT_FLAGS).returncode or make_program("hooks", "test_pool").returncode:
            raise SystemExit("the core does not compile with weaker.h")
        for key, mutant in zip(keys, chosen, strict=True):
            if results.get(key) or (options.trust and why_equivalent(mutant)):
                continue
            begin = time.monotonic()
            by = catch(mutant, covered, options.thorough) or ""
            results[key] = by
            texts[mutant.file] = text_of(mutant.file)
            report([(m, results.get(k)) for k, m in zip(keys, chosen, strict=True)], texts, options.report)
            seconds = time.monotonic() - begin
            print(f"{mutant.file}:{mutant.line} {mutant.what}: {by or 'SURVIVES'} ({seconds:.1f} s)", flush=True)
    unknown = report([(m, results.get(k)) for k, m in zip(keys, chosen, strict=True)], texts, options.report)
    for mutant in unknown:
        print("survives:", json.dumps(asdict(mutant)))
    return 1 if unknown else 0


if __name__ == "__main__":
    os.environ.setdefault("GCOV_PREFIX_STRIP", "0")
    sys.exit(main())

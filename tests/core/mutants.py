# SPDX-License-Identifier: Apache-2.0
"""Which mutants there are of the core: each ordering weakened by a step, each fence and each guard left out."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CORE = Path(__file__).resolve().parents[2] / "src" / "core"

# Where processes meet without a lock. Registration, definitions and audits have one writer, the daemon.
BOTH = """
store/pool.c store/heap.c store/entry.c store/entry.h queue/ring.c queue/park.c graph/waiter.c node/submit.c
node/claim.c node/commit.c node/object.c node/idle.c node/refs.c node/counts.c node/tick.c node/cancel.c node/recover.c
node/stream.c node/call_log.c node/fail.c node/children.c node/board.c
"""
ORDERINGS_ALONE = """
queue/ring.h queue/park.h node/seat.c node/self.c node/sweep.c node/lease.c node/turns.c node/spill.c node/survey.c
node/children.h node/waits.c node/group.c bind/trace.h
"""
# Private to one process, but what they guard is promised to all.
GUARDS_ALONE = "node/group.c node/ledger.c node/lineup.c"
GUARDED = BOTH.split() + GUARDS_ALONE.split()
ORDERED = BOTH.split() + ORDERINGS_ALONE.split()
EVERY_GUARD = {"node/children.c", "node/board.c", *GUARDS_ALONE.split()}  # also those that ask about other things

WEAKER = {
    "sh_load_acquire": ["sh_load_relaxed"],
    "sh_load_seqcst": ["sh_load_acquire"],
    "sh_load32_acquire": ["sh_load32_relaxed"],
    "sh_load32_seqcst": ["sh_load32_acquire"],
    "sh_store_release": ["sh_store_relaxed"],
    "sh_store32_release": ["sh_store32_relaxed"],
    "sh_store_seqcst": ["sh_store_release"],
    "sh_store32_seqcst": ["sh_store32_release"],
    "sh_store8_seqcst": ["sh_store8_release"],
    "sh_fence": ["(void)0, (void)"],
    "sh_fence_acquire": ["(void)0, (void)"],
    "sh_fence_release": ["(void)0, (void)"],
} | {
    name: [f"{name}_acquire", f"{name}_release"]
    for name in ("sh_cas", "sh_cas32", "sh_fetch_or", "sh_fetch_and", "sh_fetch_add32", "sh_exchange")
}
# RMWs of hints publish nothing and are ordered by the fences beside them, which are mutated: these verbs are left alone
# but in the files where they decide.
HINT_VERBS = {"sh_fetch_or", "sh_fetch_and", "sh_fetch_add32"}
DECIDING = {"store/pool.c", "store/heap.c", "queue/park.c", "node/object.c"}
VERB = re.compile(r"\b(" + "|".join(sorted(WEAKER, key=len, reverse=True)) + r")\(")
# What a guard of a lock-free path asks about.
PROTOCOL = re.compile(
    r"generation|_state\(|sh_cas|CLOSED|DROPPED|tag\b|seen|tail|head\b|owner|parked|ACTIVE|closed|sh_pool_free|op\b|word|"
    r"holds|covered|named|taken|bit\b|bits|_checked|kind\b|promise|waiter|shared|SHARED|counted|count\b|passed|first\b|cell"
)


@dataclass(frozen=True)
class Mutant:
    file: str
    line: int
    function: str
    what: str
    start: int
    end: int
    text: str
    ordering: bool

    @property
    def name(self) -> str:
        return f"{self.file}:{self.function}: {self.what}"


def code_of(text: str) -> str:
    """The text with comments blanked out, so that offsets stay."""
    return re.sub(r"/\*.*?\*/|//[^\n]*", lambda m: re.sub(r"[^\n]", " ", m[0]), text, flags=re.DOTALL)


def closing(text: str, at: int) -> int:
    """The offset behind the bracket that closes the one at `at`."""
    depth = 0
    for i in range(at, len(text)):
        depth += (text[i] == "(") - (text[i] == ")")
        if depth == 0:
            return i + 1
    raise ValueError(text[at : at + 40])


def function_at(code: str, at: int) -> str:
    found = re.findall(r"^(?!#)[a-z][\w *]*?\b(\w+)\([^;{}]*\)\s*\{", code[:at], flags=re.MULTILINE)
    return found[-1] if found else ""


def split_top(text: str, operator: str) -> list[tuple[int, int]]:
    """Offsets of the parts between `operator` outside of brackets."""
    parts, depth, begin, i = [], 0, 0, 0
    while i < len(text):
        depth += (text[i] in "([") - (text[i] in ")]")
        if depth == 0 and text.startswith(operator, i):
            parts.append((begin, i))
            begin = i = i + len(operator)
            continue
        i += 1
    return [*parts, (begin, len(text))]


def orderings(file: str, text: str, code: str) -> Iterator[Mutant]:
    for found in VERB.finditer(code):
        if found[1] in HINT_VERBS and file not in DECIDING:
            continue
        for weaker in WEAKER[found[1]]:
            fence = weaker.startswith("(void)")
            first = split_top(code[found.end() : closing(code, found.end() - 1) - 1], ",")[0]
            word = " ".join(code[found.end() + first[0] : found.end() + first[1]].split())
            what = f"{found[1]} removed" if fence else f"{found[1]}({word}) -> {weaker}"
            end = closing(code, found.end() - 1) if fence else found.end(1)
            replacement = "(void)0" if fence else weaker
            line = text.count("\n", 0, found.start()) + 1
            yield Mutant(file, line, function_at(code, found.start()), what, found.start(), end, replacement, True)


def guards(file: str, text: str, code: str) -> Iterator[Mutant]:
    for found in re.finditer(r"\b(if|while|return)\b\s*(?=\()|\breturn\b(?=[^;]*(?:&&|\|\|))", code):
        keyword = found[0].split("(")[0].strip()
        if keyword == "return":
            begin, end = found.end(), code.index(";", found.end())
        else:
            begin = found.end() + 1
            end = closing(code, found.end()) - 1
        condition = code[begin:end]
        function, line = function_at(code, begin), text.count("\n", 0, begin) + 1
        named = file in EVERY_GUARD or PROTOCOL.search(condition)
        if not named or not function:
            continue
        shown = " ".join(condition.split())
        if keyword == "if":
            after = code[end + 1 :].lstrip(" {\n")
            leaves = re.match(r"return|continue|break", after) is not None
            value = "false" if leaves else "true"
            still = f"({condition}) && false" if leaves else f"({condition}) || true"
            yield Mutant(file, line, function, f"if ({shown}) -> {value}", begin, end, still, False)
        for operator, neutral in (("&&", "true"), ("||", "false")):
            parts = split_top(condition, operator)
            if len(parts) < 2 or "?" in condition:
                continue
            for a, b in parts:
                part = condition[a:b]
                if (file in EVERY_GUARD or PROTOCOL.search(part)) and "sh_cas(" not in part:
                    yield Mutant(
                        file,
                        line,
                        function,
                        f"without {' '.join(part.split())}",
                        begin + a,
                        begin + b,
                        f" {neutral} ",
                        False,
                    )
            break


def mutants() -> list[Mutant]:
    out: list[Mutant] = []
    for file in dict.fromkeys([*ORDERED, *GUARDED]):
        text = (CORE / file).read_text()
        code = code_of(text)
        if file in ORDERED:
            out += orderings(file, text, code)
        if file in GUARDED:
            out += guards(file, text, code)
    return out

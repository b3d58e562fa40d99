# SPDX-License-Identifier: Apache-2.0
"""Records what real programs ask of the heap, for test_fragmentation.c.

    python tests/core/traces/record.py

builds the package with tracer.c linked around the heap, into build/traces, runs each workload below with it, and writes
one .trace file beside this one. A trace is a sequence of events: a byte (client * 2 + is_free), then a number, seven
bits a byte, low ones first: the size in bytes; or, of a free, how many allocations ago the freed one was made.
"""

import os
import struct
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
OUT = ROOT / "build" / "traces"
EVENTS = 12_000
WORKLOADS = {
    "rollouts": """
@shoal.remote
def rollout(weights, seed):
    steps = np.random.default_rng(seed).integers(20, 2_000)
    return {"observations": np.zeros((steps, 24), np.float32), "rewards": np.zeros(steps, np.float32), "seed": seed}

@shoal.remote
class Learner:
    def __init__(self):
        self.weights = np.zeros(300_000)
    def train(self, *episodes):
        return shoal.put(self.weights)

learner = Learner.remote()
weights = shoal.put(np.zeros(300_000))
for turn in range(60):
    episodes = [rollout.remote(weights, 40 * turn + i) for i in range(40)]
    ready, rest = shoal.wait(episodes, num_returns=30)
    weights = shoal.get(learner.train.remote(*ready))
    shoal.get(rest)
""",
    "puts": """
dice = np.random.default_rng(7)
window = []
for n in range(5_000):
    window.append(shoal.put(bytes(int(min(dice.lognormal(9, 2.2), 2e7)))))
    if len(window) > 100:
        del window[int(dice.integers(len(window)))]
""",
    "calls": """
@shoal.remote
def parse(text):
    return text.upper()

@shoal.remote
class Index:
    def __init__(self):
        self.refs = []
    def add(self, text):
        self.refs.append(shoal.put(text * 3))
        self.refs = self.refs[-50:]
        return len(text)

dice = np.random.default_rng(11)
index = [Index.remote() for _ in range(2)]
for turn in range(40):
    texts = [parse.remote("x" * int(dice.integers(50, 20_000))) for _ in range(50)]
    shoal.get([index[i % 2].add.remote(text) for i, text in enumerate(texts)])
""",
}


def build() -> Path:
    OUT.mkdir(parents=True, exist_ok=True)
    tracer = OUT / "tracer.o"
    flags = ["-std=gnu11", "-O2", "-fPIC", "-fvisibility=hidden", f"-I{ROOT / 'src' / 'core'}"]
    subprocess.run(["gcc", *flags, "-c", str(HERE / "tracer.c"), "-o", str(tracer)], check=True)
    wrap = "-Wl,--wrap=sh_heap_alloc -Wl,--wrap=sh_heap_free"
    env = os.environ | {"LDFLAGS": f"{tracer} {wrap}"}
    command = [sys.executable, "setup.py", "--quiet", "build", "--build-lib", str(OUT / "lib")]
    subprocess.run(command, check=True, cwd=ROOT, env=env)
    return OUT / "lib"


def number(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def compact(folder: Path) -> bytes:
    """The notes of all processes, in the order of their clock, as a trace."""
    notes = [n for file in folder.glob("*.notes") for n in struct.iter_unpack("4Q", file.read_bytes())]
    out, made, live, clients = bytearray(), 0, dict[int, int](), dict[int, int]()
    for _, loc, size, client in sorted(notes)[:EVENTS]:
        who = clients.setdefault(client, len(clients))
        if size:
            out += bytes([who * 2]) + number(size)
            live[loc] = made
            made += 1
        elif loc in live:
            out += bytes([who * 2 + 1]) + number(made - live.pop(loc))
    return bytes(out)


def main() -> None:
    library = build()
    for name, text in WORKLOADS.items():
        notes = OUT / name
        notes.mkdir(exist_ok=True)
        for old in notes.glob("*.notes"):
            old.unlink()
        program = f"import numpy as np, shoal\nshoal.init(num_cpus=2)\n{text}\nshoal.shutdown()\n"
        script = OUT / f"{name}.py"
        script.write_text(program)
        env = os.environ | {"SHOAL_HEAP_TRACES": str(notes), "PYTHONPATH": str(library)}
        subprocess.run([sys.executable, str(script)], check=True, cwd=OUT, env=env)
        (HERE / f"{name}.trace").write_bytes(compact(notes))


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""RayOrch: each stage of a pipeline is a pool of actors; one dies in its call and is replaced; its batch runs again."""

import os
import tempfile
from pathlib import Path

import rayorch

MARK = Path(tempfile.mkdtemp()) / "died"


class Square:
    """The process that gets the 5 first dies of it."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def run(self, values: list[int]) -> list[int]:
        if 5 in values and not self.mark.exists():
            self.mark.touch()
            os._exit(1)
        return [value * value for value in values]


class Half:
    """Divides by two."""

    def run(self, values: list[int]) -> list[float]:
        return [value / 2 for value in values]


class Pipeline(rayorch.Pipeline):  # type: ignore[misc] # RayOrch is not there for a type checker
    """Two stages."""

    def __init__(self) -> None:
        self.square = rayorch.RayModule(Square).pre_init(MARK).ray_options(replicas=2, batch_size=2)
        self.half = rayorch.RayModule(Half).ray_options(replicas=1, batch_size=4, num_cpus=0.5)

    def forward(self, values: object) -> object:
        return self.half(self.square(values))


with rayorch.Executor(Pipeline(), ray_init_kwargs={"num_cpus": 2, "log_to_driver": False}) as executor:
    first = executor.run(list(range(8)), input_batch_size=4, max_active_input_batches=2)
    print("outputs:", first.outputs)
    print("actors that were made:", first.actor_count, "of them for one that died:", int(MARK.exists()))
    print("once more, with the same actors:", executor.run([10, 20]).outputs)

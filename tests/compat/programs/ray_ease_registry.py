# SPDX-License-Identifier: Apache-2.0
"""ray-ease: functions and classes that look local are tasks and actors; an actor is reached from tasks."""

import ray
import ray_ease as rez


@rez.parallelize
def square(x: int) -> int:
    return x * x


@rez.parallelize(max_restarts=1)
class Account:
    """Keeps a sum in its own process."""

    def __init__(self, start: int) -> None:
        self.total = start

    def add(self, amount: int) -> None:
        self.total += amount

    def balance(self) -> int:
        return self.total


@rez.parallelize
class Results(rez.Registry):  # type: ignore[misc] # ray-ease is not there for a type checker
    """What is done already."""

    def __init__(self) -> None:
        self.found: dict[str, int] = {}

    def get(self, uid: str, default: object = None) -> object:
        return self.found.get(uid, default)

    def add_uid(self, uid: str, value: int) -> None:
        self.found[uid] = value

    def contains(self, uid: str) -> bool:
        return uid in self.found


rez.init(num_cpus=2)
print("squares:", rez.retrieve([square(x) for x in range(6)], ordered=True))
account = Account(start=10)
for amount in (1, 2, 3):
    account.add(amount)
print("balance:", account.balance(block=True))
registry = Results()
print("claimed:", registry.claim("a"), registry.claim("a"))
registry.add_uid("a", 7)
print("registered:", registry.contains("a"), registry.get("a"))
ray.shutdown()

# SPDX-License-Identifier: Apache-2.0
"""References that leave by pickles of the user's own, and in functions and classes: kept until the job ends."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import cloudpickle
import numpy as np
import pytest

import shoal

from .conftest import Driver, await_held, held

pytestmark = pytest.mark.usefixtures("before")

EXPORTER = """
    import pickle, cloudpickle
    import numpy as np

    def large(n): return shoal.put(np.full(10_000, n))
"""


def ask(process: Any, line: str = "") -> str:
    """Send a line, if there is one, and read the answer."""
    if line:
        process.stdin.write(line + "\n")
        process.stdin.flush()
    answer: str = process.stdout.readline().strip()
    return answer


@pytest.mark.parametrize("dumps", ["pickle.dumps", "cloudpickle.dumps"])
def test_a_pickle_keeps_its_objects_until_the_job_ends(driver: Driver, before: dict[str, float], dumps: str) -> None:
    process = driver(EXPORTER + f"    say({dumps}({{'refs': [large(4), large(5)]}}).hex())\n    hear()\n")
    data = bytes.fromhex(ask(process))
    for _ in range(3):  # dropped and taken again
        four, five = pickle.loads(data)["refs"]
        assert [int(shoal.get(ref)[0]) for ref in (four, five)] == [4, 5]
        del four
    ask(process, "end")
    process.wait()
    assert int(shoal.get(five)[0]) == 5  # whoever took it while it was there holds it
    with pytest.raises(shoal.ObjectLostError, match="the job that pickled its ref has ended"):
        pickle.loads(data)
    del five
    await_held(before)


def test_a_pickle_of_a_ref_goes_through_other_processes_of_its_job(driver: Driver) -> None:
    process = driver(
        EXPORTER
        + """
    @shoal.remote
    def look(data):
        return int(shoal.get(pickle.loads(data))[0])

    @shoal.remote
    def make(n):
        return pickle.dumps(large(n))

    data = pickle.dumps(large(3))
    made = shoal.get(make.remote(8))
    say(shoal.get(look.remote(data)), shoal.get(look.remote(made)), int(shoal.get(pickle.loads(made))[0]))
    hear()
    """
    )
    assert ask(process) == "3 8 8"


@pytest.mark.parametrize("captured", ["default", "closure", "global", "attribute", "class"])
def test_functions_keep_what_they_capture_until_the_job_ends(driver: Driver, captured: str) -> None:
    process = driver(
        EXPORTER
        + """
    def by_default():
        @shoal.remote
        def look(ref=large(1)): return int(shoal.get(ref)[0])
        return look

    def by_closure():
        ref = large(1)
        @shoal.remote
        def look(): return int(shoal.get(ref)[0])
        return look

    def by_global():
        global REF
        REF = large(1)
        @shoal.remote
        def look(): return int(shoal.get(REF)[0])
        return look

    def by_attribute():
        @shoal.remote
        def look(): return int(shoal.get(holder.ref)[0])
        class holder: ref = large(1)
        return look

    def by_class():
        @shoal.remote
        class Looker:
            ref = large(1)
            def look(self, ref=large(2)): return int(shoal.get(self.ref)[0])
        return Looker.remote().look

    """
        + f"""
    look = by_{captured}()
    first = shoal.get(look.remote())
    REF = None
    say(first, shoal.get(look.remote()), shoal.get(look.remote()))
    hear()
    """
    )
    assert ask(process) == "1 1 1"


def test_functions_as_values_hold_what_they_capture(before: dict[str, float]) -> None:
    def capturing(n: int) -> Callable[[], int]:
        ref = shoal.put(np.full(10_000, n))
        return lambda: int(shoal.get(ref)[0])

    look: Any = shoal.get(shoal.put([capturing(7)]))[0]
    assert held()["live_bytes"] > before["live_bytes"]
    assert look() == 7
    del look
    await_held(before)


def test_copies_of_a_ref_are_the_ref(before: dict[str, float]) -> None:
    ref = shoal.put(np.zeros(10_000))
    assert copy.copy(ref) is ref
    twin = copy.deepcopy({"state": [ref, {"again": ref}]})
    assert twin["state"][1]["again"] is ref
    del ref, twin
    await_held(before)


def test_failed_attempts_to_pickle_keep_nothing() -> None:
    generator = (n for n in range(3))

    def look(ref: Any = shoal.put(np.zeros(10_000)), bad: Any = generator) -> None: ...  # noqa: B008

    with pytest.raises(shoal.SerializationError):
        shoal.remote(look).remote()
    with pytest.raises(shoal.SerializationError):
        shoal.put([shoal.put(np.zeros(10_000)), generator])


def test_an_object_whose_pickling_pickles_by_itself() -> None:
    class Packed:
        def __init__(self, ref: Any) -> None:
            self.ref = ref

        def __getstate__(self) -> Any:
            return {"packed": cloudpickle.dumps(self.__dict__)}

        def __setstate__(self, state: Any) -> None:
            self.__dict__.update(pickle.loads(state["packed"]))

    packed = shoal.get(shoal.put(Packed(shoal.put(np.full(10_000, 6)))))
    assert int(shoal.get(packed.ref)[0]) == 6


def test_a_pickle_of_another_node_is_refused(driver: Driver) -> None:
    # Ids of objects repeat from one node to the next: the first object of the first job is called the same on each.
    process = driver(
        EXPORTER
        + """
    shoal.shutdown()
    for n in range(2):
        shoal.init(num_cpus=1)
        ref = large(n)
        data, before = pickle.dumps(ref), data if n else None
        say(ref.hex(), int(shoal.get(pickle.loads(data))[0]))
        if n < 1: shoal.shutdown()
    try:
        pickle.loads(before)
    except shoal.ObjectLostError as error:
        say("another node" in str(error))
    """
    )
    first, second = ask(process).split(), ask(process).split()
    assert first[0] == second[0]
    assert (first[1], second[1]) == ("0", "1")
    assert ask(process) == "True"
    process.wait()

# SPDX-License-Identifier: Apache-2.0
"""Waits that can never end raise DeadlockError, in one of those who wait, and the others go on."""

import threading
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

import shoal
from shoal import runtime

Peer = Any  # handles of Node, which take each other as arguments


@shoal.remote
class Node:
    """An actor that waits for others in every way."""

    def ask(self, peers: list[Peer], method: str, *rest: Any) -> str:
        """`got <what the first peer's method returned>`, or the error that this wait was ended with."""
        try:
            return f"got {shoal.get(getattr(peers[0], method).remote(peers[1:], *rest))}"
        except shoal.DeadlockError as error:
            return f"ended {type(error) is shoal.DeadlockError} {len(error.chain)}"

    def ask_many(self, peers: list[Peer], method: str, *rest: Any) -> str:
        try:
            return f"got {shoal.get([getattr(peers[0], method).remote(peers[1:], *rest) for _ in range(3)])[0]}"
        except shoal.DeadlockError:
            return "ended"

    def ask_in_wait(self, peers: list[Peer], method: str, *rest: Any) -> str:
        try:
            ready, _ = shoal.wait([getattr(peers[0], method).remote(peers[1:], *rest) for _ in range(2)], num_returns=2)
            return f"waited for {len(ready)}"
        except shoal.DeadlockError:
            return "ended"

    def ask_for_a_while(self, peers: list[Peer], method: str, *rest: Any) -> str:
        try:
            return f"got {shoal.get(getattr(peers[0], method).remote(peers[1:], *rest), timeout=4)}"
        except shoal.GetTimeoutError:
            return "timed out"

    def ask_by_task(self, peers: list[Peer], method: str, *rest: Any) -> str:
        return f"got {shoal.get(relay.options(num_cpus=0).remote(peers, method, *rest))}"

    def unguarded(self, peers: list[Peer], method: str, *rest: Any) -> str:
        return f"got {shoal.get(getattr(peers[0], method).remote(peers[1:], *rest))}"

    def hello(self, peers: list[Peer]) -> str:
        return "hello"


@shoal.remote
def relay(peers: list[Peer], method: str, *rest: Any) -> str:
    return f"relayed {shoal.get(getattr(peers[0], method).remote(peers[1:], *rest))}"


def three() -> list[Peer]:
    return [Node.options(name=f"n{i}").remote() for i in range(3)]


def test_a_circle_of_two_ends_in_the_call_that_closed_it(shoal_node: ModuleType) -> None:
    a, b, _ = three()
    # a waits for b, and b for a, which is busy. b's call began last: it gets the error, and a its answer.
    assert shoal.get(a.ask.remote([b, a], "ask", "hello")) == "got ended True 2"
    assert shoal.get(b.hello.remote([])) == "hello"


def test_a_circle_of_three_has_one_error_and_the_others_go_on(shoal_node: ModuleType) -> None:
    a, b, c = three()
    assert shoal.get(a.ask.remote([b, c, a], "ask", "ask", "hello")) == "got got ended True 3"


def test_an_actor_that_waits_for_itself(shoal_node: ModuleType) -> None:
    a, _, _ = three()
    assert shoal.get(a.ask.remote([a], "hello")) == "ended True 1"


def test_a_circle_through_a_task(shoal_node: ModuleType) -> None:
    a, _, _ = three()
    with pytest.raises(shoal.DeadlockError) as caught:
        shoal.get(a.ask_by_task.remote([a], "hello"))
    assert "relay" in str(caught.value)
    assert "Node.ask_by_task" in str(caught.value)


def test_the_error_names_who_waits_for_what(shoal_node: ModuleType) -> None:
    a, b, _ = three()
    with pytest.raises(shoal.DeadlockError) as caught:
        shoal.get(a.unguarded.remote([b, a], "unguarded", "hello"))
    assert isinstance(caught.value, shoal.TaskError)
    first, second = caught.value.cause.chain  # type: ignore[union-attr]
    assert first.startswith("actor Node 'n1' (pid ")
    assert first.endswith("in Node.unguarded, waits for Node.hello, which waits for its actor")
    assert second.startswith("actor Node 'n0' (pid ")
    assert second.endswith("in Node.unguarded, waits for Node.unguarded, which runs")


@pytest.mark.parametrize("way", ["ask_many", "ask_in_wait"])
def test_waits_for_several_things_that_all_hang(shoal_node: ModuleType, way: str) -> None:
    a, b, _ = three()
    assert shoal.get(getattr(a, way).remote([b, a], way, "hello")) in (
        "got ended",  # of ask_many
        "waited for 2",  # of ask_in_wait
    )


def test_a_wait_with_a_timeout_is_not_for_ever(shoal_node: ModuleType) -> None:
    a, b, _ = three()
    assert shoal.get(a.ask.remote([b, a], "ask_for_a_while", "hello")) == "got timed out"


def test_an_actor_with_room_for_another_call_is_no_part_of_a_circle(shoal_node: ModuleType) -> None:
    a = Node.options(max_concurrency=2).remote()
    b = Node.remote()
    assert shoal.get(a.ask.remote([b, a], "ask", "hello")) == "got got hello"


def impossible(call: Callable[[], Any]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", shoal.InfeasibleResourcesWarning)
        return call()


@shoal.remote
def give(*_: object) -> int:
    return 1


def test_a_demand_that_can_never_be_met_ends_the_wait_for_it(shoal_node: ModuleType) -> None:
    ref = impossible(lambda: give.options(resources={"moon": 1}).remote())
    for wait in (
        lambda: shoal.get(ref),
        lambda: shoal.get([give.remote(), ref]),
        lambda: shoal.get(give.remote(ref)),
        lambda: shoal.wait([ref]),
    ):
        with pytest.raises(shoal.DeadlockError, match=r"The demand \{moon: 1\} can not be met") as caught:
            wait()
        assert caught.value.chain[0].startswith("this process waits for give")
        assert caught.value.chain[0].endswith("give, which waits for resources")
    assert shoal.wait([give.remote(), ref])[1] == [ref]
    with pytest.raises(shoal.GetTimeoutError):
        shoal.get(ref, timeout=2.5)
    shoal.cancel(ref)
    with pytest.raises(shoal.TaskCancelledError):
        shoal.get(ref)


def test_an_actor_that_can_never_be_made(shoal_node: ModuleType) -> None:
    actor = impossible(lambda: Node.options(num_gpus=3).remote())
    with pytest.raises(shoal.DeadlockError, match="GPU: 3"):
        shoal.get(actor.hello.remote([]))


def test_the_nearest_to_the_demand_gets_the_error(shoal_node: ModuleType) -> None:
    @shoal.remote
    def outer() -> str:
        ref = impossible(lambda: give.options(resources={"moon": 1}).remote())
        try:
            return str(shoal.get(ref))
        except shoal.DeadlockError as error:
            return error.chain[0]

    said = shoal.get(outer.remote())
    assert said.startswith("worker (pid ")
    assert said.endswith("waits for give, which waits for resources")


def test_another_thread_of_a_call_is_no_part_of_a_circle(shoal_node: ModuleType) -> None:
    @shoal.remote
    class Threaded:
        def start(self, me: list[Peer]) -> str:
            self.got: list[str] = []
            self.thread = threading.Thread(target=lambda: self.got.append(shoal.get(me[0].late.remote())))
            client = runtime.connected().client
            look, was_looked_into = client.stuck_hook, threading.Semaphore(0)
            assert look is not None

            def note(wait: Any) -> BaseException | None:
                error = look(wait)
                was_looked_into.release()
                return error

            client.stuck_hook = note
            self.thread.start()
            for _ in range(2):
                was_looked_into.acquire()  # that thread waits for this actor meanwhile, and not for ever
            return "went on"

        def late(self) -> str:
            return "late"

        def end(self) -> list[str]:
            self.thread.join()
            return self.got

    actor = Threaded.remote()
    assert shoal.get(actor.start.remote([actor])) == "went on"
    assert shoal.get(actor.end.remote()) == ["late"]

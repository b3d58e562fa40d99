# SPDX-License-Identifier: Apache-2.0
"""Who waits for what, on snapshots made by hand."""

from tests.util.state.scenes import CPU_CLASS, DRIVER, ROOT, Scene

from shoal._core import _node as core
from shoal.ids import actor_id
from shoal.protocol.tables import ActorRow
from shoal.util.state.reasons import MAX_DEPTH, MAX_REASONS, MAX_ROOTS, Reason, explain
from shoal.util.state.snapshot import WaiterRecord


def text_of(reasons: list[Reason]) -> list[str]:
    return [line for reason in reasons for line in reason.lines()]


def test_nothing_waits_on_an_idle_node() -> None:
    assert explain(Scene().snapshot()) == []


def test_a_driver_waits_for_a_task_that_runs() -> None:
    scene = Scene()
    task = scene.task(core.TASK_RUNNING, who=scene.client())
    scene.parked(DRIVER, scene.object(task))
    assert text_of(explain(scene.snapshot())) == [
        "driver 101 (prog.py) waits in get",
        "  object 0b0b0b0b0b0b0b0b…00000000 is missing",
        "    task f 00000a0a0a0a0a0a runs",
        "      worker 102 runs f, for 3.0 s",
    ]


def test_a_task_waits_for_an_argument_that_another_makes() -> None:
    scene = Scene()
    first = scene.task(core.TASK_RUNNING, who=scene.client())
    second = scene.task(core.TASK_WAITING, awaits=scene.object(first))
    reason = explain(scene.snapshot(), scene.tasks[1].id.hex())[0]
    assert text_of([reason]) == [
        "task f 00010a0a0a0a0a0a waits for an argument",
        "  object 0b0b0b0b0b0b0b0b…00000000 is missing",
        "    task f 00000a0a0a0a0a0a runs",
        "      worker 102 runs f, for 3.0 s",
    ]
    assert (reason.kind, reason.id) == ("task", scene.tasks[1].id.hex())
    assert second


def test_a_queued_task_is_told_who_holds_the_cpus() -> None:
    scene = Scene()
    busy, blocked = scene.client(), scene.client(is_blocked=True)
    scene.task(core.TASK_RUNNING, who=busy)
    scene.task(core.TASK_RUNNING, who=blocked)  # it gave its CPU up
    scene.task(core.TASK_READY)
    assert text_of(explain(scene.snapshot())) == [
        "task f 00020a0a0a0a0a0a is queued for {CPU: 1}, held by",
        "  worker 102 runs f, for 3.0 s",
    ]


def test_a_demand_that_cannot_be_met_is_told() -> None:
    scene = Scene()
    scene.make_class(5, core.CLASS_LEASE, {"moon": 2.0})
    scene.impossible[5] = "The demand {moon: 2} can not be met."
    scene.task(core.TASK_READY, class_id=5)
    assert text_of(explain(scene.snapshot())) == [
        "task f 00000a0a0a0a0a0a waits for {moon: 2}",
        "  The node has not enough, ever. The demand {moon: 2} can not be met.",
    ]


def test_actors_hold_what_they_asked_for() -> None:
    scene = Scene()
    scene.make_class(5, core.CLASS_LEASE, {"chip": 1.0})
    scene.actor("holder", 6)
    scene.demands[6] = {"chip": 1.0}
    scene.task(core.TASK_READY, class_id=5)
    assert text_of(explain(scene.snapshot())) == [
        "task f 00000a0a0a0a0a0a is queued for {chip: 1}, held by",
        "  actor Actor 'holder' is about to take its next call",
        "    actor Actor 'holder' (pid 102) is idle",
    ]


def test_a_call_waits_for_an_actor_that_is_busy() -> None:
    scene = Scene()
    client = scene.actor("alice", 6)
    scene.task(core.TASK_RUNNING, who=client, class_id=6)
    scene.task(core.TASK_READY, class_id=6)
    assert text_of(explain(scene.snapshot(), "alice")) == [
        "actor Actor 'alice' is busy",
        "  actor Actor 'alice' (pid 102) runs Actor.work, for 3.0 s",
    ]
    assert text_of(explain(scene.snapshot()))[0] == "task Actor.work 00010a0a0a0a0a0a waits for its actor"


def test_a_threaded_actor_with_room_is_not_busy() -> None:
    scene = Scene()
    client = scene.actor("alice", 6, max_concurrency=2)
    scene.task(core.TASK_RUNNING, who=client, class_id=6)
    assert text_of(explain(scene.snapshot(), "alice"))[0] == (
        "actor Actor 'alice' is about to take its next call (1 of 2 at a time)"
    )


def test_a_call_behind_one_that_waits_for_an_argument() -> None:
    scene = Scene()
    scene.actor("alice", 6)
    missing = scene.object(scene.task(core.TASK_RUNNING, who=scene.client()))
    scene.task(core.TASK_WAITING, class_id=6, awaits=missing)
    last = scene.task(core.TASK_READY, class_id=6)
    lines = text_of(explain(scene.snapshot(), scene.tasks[-1].id.hex()))
    assert lines[0].endswith("comes after a call of the same caller that waits")
    assert lines[1].endswith("waits for an argument")
    assert last


def test_an_actor_whose_constructor_waits() -> None:
    scene = Scene()
    scene.actor("alice", 6)
    missing = scene.object(scene.task(core.TASK_RUNNING, who=scene.client()))
    scene.task(
        core.TASK_WAITING, class_id=6, awaits=missing, flags=core.SLOT_ACTOR_CALL | core.SLOT_CREATES_ACTOR, submitter=9
    )
    scene.task(core.TASK_READY, class_id=6)
    lines = text_of(explain(scene.snapshot(), "alice"))
    assert lines[0] == "actor Actor 'alice' has not run its constructor"
    assert lines[1].endswith("waits for an argument")


def test_an_actor_that_waits_for_its_process_or_its_resources() -> None:
    scene = Scene()
    scene.actor("starting", 6, has_process=False)
    assert text_of(explain(scene.snapshot(), "starting")) == [
        "actor Actor 'starting' waits for its process, which is starting"
    ]
    scene.actor("queued", 7, has_process=False)
    scene.demands[7] = {"CPU": 1.0}
    scene.task(core.TASK_RUNNING, who=scene.client())
    assert text_of(explain(scene.snapshot(), "queued")) == [
        "actor Actor 'queued' waits for {CPU: 1}, held by",
        "  worker 102 runs f, for 3.0 s",
    ]


def test_a_call_of_a_dead_actor() -> None:
    scene = Scene()
    scene.make_class(6, core.CLASS_ACTOR, {})
    scene.classes[6] = scene.classes[6]._replace(state=core.CLASS_CLOSED)
    scene.actors.append(ActorRow(6, ROOT, "Actor", "a", "ns", 7, 1, False, b"", {}, False, "killed by signal 9"))
    scene.task(core.TASK_READY, class_id=6)
    assert text_of(explain(scene.snapshot())) == [
        "task ? 00000a0a0a0a0a0a waits for its actor",
        "  actor 6 is dead: killed by signal 9",
    ]


def test_a_circle_of_gets_among_actors() -> None:
    scene = Scene()
    ping, pong = scene.actor("ping", 6), scene.actor("pong", 7)
    scene.task(core.TASK_RUNNING, who=ping, class_id=6)
    inner = scene.task(core.TASK_RUNNING, who=pong, class_id=7)
    scene.parked(ping, scene.object(inner))
    last = scene.task(core.TASK_READY, class_id=6)
    scene.parked(pong, scene.object(last))
    (reason,) = explain(scene.snapshot(), "ping")
    assert reason.is_circle
    assert text_of([reason])[-1].strip() == (
        "actor Actor 'ping' waits for itself, a deadlock: actor Actor 'ping' -> "
        "task Actor.work 00010a0a0a0a0a0a -> task Actor.work 00020a0a0a0a0a0a -> actor Actor 'ping'"
    )
    assert len(explain(scene.snapshot())) == 1  # told once, from wherever it begins


def test_a_full_store_and_who_fills_it() -> None:
    scene = Scene()
    worker = scene.client(room_wanted=5 << 20)
    scene.task(core.TASK_RUNNING, who=worker)
    kept = scene.object(closed=True, size=90 << 20, where=3, owner=DRIVER)
    scene.object(closed=True, size=8 << 20, where=3, owner=worker)
    scene.object(closed=True, size=50 << 20, where=core.LOC_SPILLED, owner=worker)
    scene.pins[kept] = [DRIVER]
    assert text_of(explain(scene.snapshot())) == [
        "worker 102 waits for room in the store, for 5.0 MiB",
        "  the store holds 98.0 MiB of 100.0 MiB; 90.0 MiB cannot go, for somebody has a view",
        "    driver 101 (prog.py) made 90.0 MiB of what is there",
        "    worker 102 made 8.0 MiB of what is there",
    ]


def test_a_stopped_process_is_where_a_chain_ends() -> None:
    scene = Scene()
    worker = scene.client()
    scene.parked(DRIVER, scene.object(scene.task(core.TASK_RUNNING, who=worker)))
    scene.process_states[scene.clients[worker].pid] = "T"
    assert text_of(explain(scene.snapshot()))[-1].strip() == (
        "worker 102 is stopped by a signal or a debugger; `kill -CONT 102` lets it go on"
    )


def test_tasks_that_their_process_is_to_let_go_of() -> None:
    for state, says in [
        (core.TASK_CANCELLED, "was cancelled and is interrupted"),
        (core.TASK_OVERDUE, "ran for longer than its timeout and is interrupted"),
        (core.TASK_KILLING, "is being ended together with its process"),
        (core.TASK_COMMITTED, "has ended; its result is being published"),
    ]:
        scene = Scene()
        scene.task(state, who=scene.client())
        assert text_of(explain(scene.snapshot()))[0] == f"task f 00000a0a0a0a0a0a {says}"
    scene = Scene()
    scene.task(core.TASK_CLAIMED)
    assert "is with the daemon" in text_of(explain(scene.snapshot()))[0]


def test_a_driver_that_waits_for_many() -> None:
    scene = Scene()
    for _ in range(20):
        scene.waiters.append(WaiterRecord(scene.object(scene.task(core.TASK_READY)), core.WAITS_CLIENT, DRIVER))
    scene.parked(DRIVER, core.AWAITS_SEVERAL)
    (reason,) = explain(scene.snapshot())
    assert reason.text == "waits in wait for 20 objects"
    assert len(reason.because) == MAX_REASONS + 1
    assert reason.because[-1] == Reason("more", "12 more", "")


def test_a_long_chain_is_cut_and_many_tasks_are_counted() -> None:
    scene = Scene()
    awaits = 0
    for _ in range(2000):
        awaits = scene.object(scene.task(core.TASK_WAITING, awaits=awaits))
    scene.parked(DRIVER, awaits)
    (reason,) = explain(scene.snapshot(), "101")
    assert len(list(reason.lines())) <= MAX_DEPTH + 2
    everything = explain(scene.snapshot())
    assert len(everything) == MAX_ROOTS + 1
    assert everything[-1].kind == "more"


def test_what_went_meanwhile_ends_a_chain_without_an_error() -> None:
    scene = Scene()
    scene.parked(DRIVER, 99 | 7 << 32)
    assert text_of(explain(scene.snapshot())) == [
        "driver 101 (prog.py) waits in get",
        "  an object is gone, or was made just now",
    ]
    scene.parked(DRIVER, scene.object(producer=5 | 9 << 32))
    assert "its task is gone" in text_of(explain(scene.snapshot()))[1]


def test_what_is_there_already_is_no_reason() -> None:
    scene = Scene()
    done = scene.object(closed=True, size=8)
    scene.parked(DRIVER, done)
    assert "waits for nothing" in text_of(explain(scene.snapshot(), "101"))[0]
    assert text_of(explain(scene.snapshot(), scene.objects[0].id.hex()))[0].endswith("is there")


def test_ids_names_and_pids_are_understood() -> None:
    scene = Scene()
    client = scene.actor("alice", 6)
    scene.task(core.TASK_RUNNING, who=client, class_id=6)
    scene.task(core.TASK_RUNNING, who=scene.client())
    snapshot = scene.snapshot()
    for target, kind in [
        ("f", "task"),
        ("Actor.work", "task"),
        ("00010a", "task"),
        ("alice", "actor"),
        ("Actor", "actor"),
        (actor_id(ROOT, 6), "actor"),
        ("102", "process"),
    ]:
        assert [reason.kind for reason in explain(snapshot, target)] == [kind], target
    assert explain(snapshot, "nobody") == []


def test_without_the_daemon_numbers_stand_for_names() -> None:
    scene = Scene(is_answering=False)
    scene.actor("alice", 6)
    scene.task(core.TASK_READY, class_id=6)
    scene.task(core.TASK_READY, class_id=CPU_CLASS)
    lines = text_of(explain(scene.snapshot()))
    assert lines[0] == "task ? 00000a0a0a0a0a0a waits for its actor"
    assert lines[1] == "  actor 6 is about to take its next call"
    assert lines[-1] == "task ? 00010a0a0a0a0a0a is queued for a worker"

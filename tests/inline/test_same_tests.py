# SPDX-License-Identifier: Apache-2.0
"""The tests of the API hold in inline mode too: each of these files is run once more with `SHOAL_MODE=inline`.

What is left out is named with its reason. A test that was renamed or is gone fails this one. Tests in which processes
meet at a pipe skip themselves (meetings.py)."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ENOUGH_S = 400

KILLS = "kills its process"
OTHER = "looks at the process that runs a call"
OVERLAP = "two calls of plain code overlap"
CORE = "looks at the core's own bookkeeping"
STORE = "asks for more than the store holds, and here is none"
STARTS = "expects a generator to start before it is asked"

LEFT_OUT: dict[str, dict[str, str]] = {
    "test_tasks.py": {
        "test_tasks_run_in_other_processes_and_workers_are_reused": OTHER,
        "test_a_task_whose_worker_dies_is_run_again": KILLS,
        "test_runtime_context_tells_where_code_runs": OTHER,
    },
    "test_values.py": {},
    "test_errors.py": {
        "test_an_exception_is_an_instance_of_its_own_class": OTHER,
        "test_a_killed_worker_is_a_typed_error_with_signal_and_stderr": KILLS,
        "test_a_crash_passes_through_tasks_that_need_its_result": KILLS,
        "test_a_worker_that_exits_hard_is_told_with_its_exit_code": KILLS,
    },
    "test_get.py": {"test_ten_thousand_refs_are_watched_by_one_wait": CORE},
    "test_wait.py": {},
    "test_objects.py": {
        "test_refs_are_not_tracked_by_the_garbage_collector": CORE,
        "test_an_array_that_no_store_has_room_for": STORE,
    },
    "test_nested.py": {},
    "test_retry_exceptions.py": {
        "test_crashes_and_exceptions_share_one_count": KILLS,
        "test_what_is_retried_can_be_cancelled": OVERLAP,
    },
    "test_retried_methods.py": {
        "test_what_is_called_again_without_end_can_be_cancelled": OVERLAP,
        "test_on_an_event_loop_others_go_on_meanwhile": OVERLAP,
        "test_deaths_and_exceptions_share_one_count": KILLS,
        "test_what_an_attempt_called_is_not_called_twice": KILLS,
        "test_with_checkpoints_the_state_has_what_each_attempt_did": KILLS,
    },
    "test_current_actor.py": {},
    "test_generators.py": {},
    "test_generator_methods.py": {"test_the_death_of_an_actor_is_the_last_item": KILLS},
    "test_generator_ends.py": {
        "test_a_generator_that_nobody_wants_is_closed": STARTS,
        "test_a_stream_that_is_cancelled_while_it_runs": OVERLAP,
        "test_items_are_not_repeated_when_the_task_runs_again": KILLS,
        "test_a_death_without_retries_is_the_last_item": KILLS,
    },
    "test_actors.py": {
        "test_every_actor_has_a_process_of_its_own": OTHER,
        "test_kill_ends_the_actor_and_its_calls": OVERLAP,
        "test_an_actor_that_crashes_is_told_with_its_signal": KILLS,
        "test_an_actor_exits_when_its_last_handle_is_gone": OTHER,
        "test_a_threaded_actor_overlaps_its_calls": OVERLAP,
        "test_exit_actor_ends_a_threaded_actor_at_once": OVERLAP,
    },
    "test_actor_methods.py": {},
    "test_async_actors.py": {"test_an_async_actor_exits_when_its_last_handle_is_gone": OTHER},
    "util/test_actor_pool.py": {
        "test_a_dead_actor_is_left_out_and_the_others_go_on": KILLS,
        "test_without_a_living_actor_each_waiting_call_says_so": KILLS,
    },
    "util/test_completion.py": {},
    "util/test_queue.py": {
        "test_tasks_share_it": OVERLAP,
        "test_a_put_waits_for_room_and_the_first_goes_first": OVERLAP,
        "test_ctrl_c_ends_a_get_and_takes_no_item": OVERLAP,
        "test_a_get_that_an_alarm_ends_takes_no_item": OVERLAP,
        "test_shutdown_ends_it_for_everybody": OVERLAP,
    },
    "util/test_inspection.py": {},
    "util/test_serialization.py": {"test_a_deserializer_that_the_reader_cannot_load_is_named": OTHER},
}


@pytest.mark.timeout(ENOUGH_S)  # twenty files
def test_the_tests_of_the_api_pass_in_inline_mode() -> None:
    left_out = [f"--deselect=tests/{file}::{test}" for file, tests in LEFT_OUT.items() for test in tests]
    files = [f"tests/{file}" for file in LEFT_OUT]
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "tests.inline.meetings",
            "-p",
            "no:cacheprovider",
            *left_out,
            *files,
        ],
        cwd=ROOT,
        env={**os.environ, "SHOAL_MODE": "inline"},
        capture_output=True,
        text=True,
        timeout=ENOUGH_S,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
    n_passed = re.search(r"(\d+) passed", run.stdout)
    assert n_passed is not None
    assert int(n_passed[1]) > 250, run.stdout[-500:]


@pytest.mark.parametrize("file", LEFT_OUT)
def test_what_is_left_out_exists(file: str) -> None:
    text = (ROOT / "tests" / file).read_text()
    assert not [test for test in LEFT_OUT[file] if f"def {test}(" not in text]

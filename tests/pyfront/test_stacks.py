# SPDX-License-Identifier: Apache-2.0
"""A process's own stacks."""

import threading

from shoal.stacks import dump_stacks


def test_every_thread_but_the_calling_one_is_told() -> None:
    release, inside, told = threading.Event(), threading.Event(), []

    def wait_in_here() -> None:
        inside.set()
        release.wait(60)

    waiter = threading.Thread(target=wait_in_here, name="waiter")
    waiter.start()
    inside.wait(60)
    teller = threading.Thread(target=lambda: told.append(dump_stacks()), name="teller")
    teller.start()
    teller.join()
    release.set()
    waiter.join()
    (text,) = told
    assert text.startswith("Thread MainThread:\n")
    assert "Thread waiter:" in text
    assert "in wait_in_here" in text
    assert "Thread teller:" not in text

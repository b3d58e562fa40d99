# SPDX-License-Identifier: Apache-2.0
"""What daemon and zygote ask of Linux about processes: death signals, names, descendants."""

from __future__ import annotations

import os
import select
import signal
import time
from contextlib import suppress

from shoal._core._node import prctl

PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
PR_SET_CHILD_SUBREAPER = 36
MOST_EXPENDABLE = b"1000"
NAME_BYTES = 15  # what the kernel keeps of a name


def set_name(name: str) -> None:
    """The name that `ps` and `top` show for this process."""
    prctl(PR_SET_NAME, name.encode()[:NAME_BYTES])


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent dies."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(parent: int, signal_number: int) -> bool:
    """Have the kernel send this process a signal when its parent dies. False: the parent is dead already."""
    prctl(PR_SET_PDEATHSIG, signal_number)
    return os.getppid() == parent


def be_the_kernels_first_choice() -> None:
    """When memory runs out, let the kernel end this process rather than the daemon, the zygote or a driver."""
    try:  # no file object and no context manager: every function that runs in a fork is pages copied
        fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, MOST_EXPENDABLE)
        finally:
            os.close(fd)
    except OSError:
        return


def descendants(root: int) -> list[int]:
    """Pids of all living processes below `root`, from one look at /proc; zombies are left out."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            parent = _living_parent(entry)
            if parent is not None:
                children.setdefault(parent, []).append(int(entry))
    found: list[int] = []
    fresh = [root]
    while fresh:
        fresh = [child for parent in fresh for child in children.get(parent, ())]
        found += fresh
    return found


def _living_parent(pid: str) -> int | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            state, parent = file.read().rpartition(b")")[2].split()[:2]
    except OSError:
        return None
    return None if state in (b"Z", b"X") else int(parent)


def end_descendants(grace_s: float, limit_s: float) -> bool:
    """SIGTERM everything below this process, SIGKILL what is left after the grace, reap. True if nothing is left.

    Needs `adopt_orphans`: then nothing is left when this process has no child. A look at /proc cannot tell that: it
    misses a process whose parent dies between the reading of the one and of the other.
    """
    started = time.monotonic()
    asked: set[int] = set()
    while _reap_all():
        living = descendants(os.getpid())
        elapsed = time.monotonic() - started
        if elapsed > limit_s:
            return False
        for pid in living:
            if elapsed >= grace_s:
                _send(pid, signal.SIGKILL)
            elif pid not in asked:
                _send(pid, signal.SIGTERM)
                _send(pid, signal.SIGCONT)  # a stopped process acts on no signal but SIGKILL
                asked.add(pid)
        _wait_for_child(0.02)
    return True


def _send(pid: int, signal_number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal_number)


def _reap_all() -> bool:
    """True if a child is left."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _wait_for_child(limit_s: float) -> None:
    """Until a child changes state, or the limit. SIGCHLD must be blocked or handled for the wait to end early."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    signal.sigtimedwait([signal.SIGCHLD], limit_s)


def has_ended(pidfd: int) -> bool:
    """Whether a process has died. Its parent, who learns of what, may get to know it later."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


STOPPED = frozenset("Tt")  # states of a process, as /proc has them: by a signal, or by a debugger


def process_state(pid: int) -> str:
    """The letter that /proc has for a process's state (R runs, S sleeps, T is stopped); empty if it is gone."""
    with suppress(OSError), open(f"/proc/{pid}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].split()[0].decode()
    return ""


def is_stopped(pid: int) -> bool:
    """Whether a signal or a debugger holds it. One that only waits for a CPU goes on by itself."""
    return process_state(pid) in STOPPED


def describe_status(status: int) -> tuple[int | None, int | None]:
    """(exit code, signal number) of a wait status; one of them is None."""
    code = os.waitstatus_to_exitcode(status)
    return (None, -code) if code < 0 else (code, None)

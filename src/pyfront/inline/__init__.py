# SPDX-License-Identifier: Apache-2.0
"""Inline mode: `init(mode="inline")`. Tasks and actors run in the calling process, so a debugger can step into them.

A second implementation of `seam`: `client` keeps objects as pickles in private memory, `desk` answers what a daemon
would, `engine` runs calls on the thread that makes them or waits for them. There is no daemon, no other process and no
shared memory. `streams` and `actors` are what generators and actors need beside that; async actors have their event
loops in threads (`loops`).
"""

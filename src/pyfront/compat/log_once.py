# SPDX-License-Identifier: Apache-2.0
"""`ray.util.log_once`: whether a message is said for the first time in this process."""

from __future__ import annotations

import time

PERIOD_S = 60.0

_said: dict[str, float] = {}
_is_disabled = False
_is_periodic = False


def log_once(key: str) -> bool:
    """True the first time that it is called with `key`; later False, or once a minute if logging is periodic."""
    if _is_disabled:
        return False
    now = time.monotonic()
    if key in _said and not (_is_periodic and now - _said[key] >= PERIOD_S):
        return False
    _said[key] = now
    return True


def disable_log_once_globally() -> None:
    """From now on `log_once` is never true."""
    global _is_disabled
    _is_disabled = True


def enable_periodic_logging() -> None:
    """From now on `log_once` is true again after a minute."""
    global _is_periodic
    _is_periodic = True


def reset_log_once(key: str | None = None) -> None:
    """Forget that `key` was said; all keys if it is None."""
    if key is None:
        _said.clear()
    else:
        _said.pop(key, None)

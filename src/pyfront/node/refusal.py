# SPDX-License-Identifier: Apache-2.0
"""The daemon's "no", on its way from whoever notices to the client's link."""

from __future__ import annotations

from shoal.protocol.messages import Refused


class Refusal(Exception):
    """Raised while a request is answered; the client gets it as `Refused`."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.reply = Refused(kind, text)

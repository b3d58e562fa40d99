# SPDX-License-Identifier: Apache-2.0
"""Which line of the program made which object. Recorded only if the node is started so: it costs each put and call
half a microsecond.

Each process remembers its own, and tells them when it is asked. What was freed is forgotten when there is twice as much
as there was after the last look.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from shoal._core._node import Client, Survey
from shoal.link import Link

OWN_FOLDER = os.path.dirname(os.path.abspath(__file__)) + os.sep
MOST_BEFORE_LOOK = 10_000
SHOWN_PARTS = 3  # of a file's path


class Origins:
    """The lines that made the objects of one process."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lines: dict[int, tuple[str, int]] = {}
        self._most = MOST_BEFORE_LOOK

    def note(self, number: int) -> None:
        """The calling line, the first that is not of Shoal itself, has made this object."""
        frame = sys._getframe(1)
        while frame.f_back is not None and frame.f_code.co_filename.startswith(OWN_FOLDER):
            frame = frame.f_back
        self._lines[number] = (frame.f_code.co_filename, frame.f_lineno)
        if len(self._lines) > self._most:
            self._forget()

    def text(self) -> str:
        """One line for each object: its number and its place."""
        return "".join(f"{number} {shown(*place)}\n" for number, place in list(self._lines.items()))

    def _forget(self) -> None:
        survey = Survey(self._client)
        self._lines = {number: place for number, place in self._lines.items() if _is_there(survey, number)}
        self._most = max(MOST_BEFORE_LOOK, 2 * len(self._lines))


def _is_there(survey: Survey, number: int) -> bool:
    rows, _ = survey.objects(number & 0xFFFFFFFF, 1)
    return bool(rows) and rows[0][0] == number


def shown(path: str, line: int) -> str:
    """The end of a path, with the line."""
    return f"{os.sep.join(path.split(os.sep)[-SHOWN_PARTS:])}:{line}"


def parse(texts: Mapping[int, str]) -> dict[int, str]:
    """What processes told, by object."""
    places: dict[int, str] = {}
    for text in texts.values():
        for line in text.splitlines():
            number, _, place = line.partition(" ")
            if number.isdigit():
                places[int(number)] = place
    return places


def record_lines(client: Client, link: Link) -> None:
    """From now on."""
    origins = Origins(client)
    client.made_hook = origins.note
    link.tell_lines = origins.text

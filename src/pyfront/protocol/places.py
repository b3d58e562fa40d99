# SPDX-License-Identifier: Apache-2.0
"""Where a call may run, beyond what it demands: a plain value that a client makes and the daemon decides about.

A node has labels; a rule is about one of them. Preferences that only matter where there is a choice of nodes leave
nothing in a place. Imports nothing: a program has it before it has a connection.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

ANY_BUNDLE = -1
IN, NOT_IN, EXISTS, DOES_NOT_EXIST = "in", "not in", "exists", "does not exist"


class LabelRule(NamedTuple):
    """What a node's label must be like."""

    label: str
    relation: str  # IN, NOT_IN, EXISTS or DOES_NOT_EXIST
    values: tuple[str, ...] = ()

    def is_met(self, labels: Mapping[str, str]) -> bool:
        """Whether a node with these labels will do."""
        value = labels.get(self.label)
        if self.relation == IN:
            return value is not None and value in self.values
        if self.relation == NOT_IN:
            return value is None or value not in self.values
        return (value is not None) == (self.relation == EXISTS)

    def __str__(self) -> str:
        values = f" {', '.join(self.values)}" if self.values else ""
        return f"{self.label} {self.relation}{values}"


class Place(NamedTuple):
    """Where a call may run."""

    group: str = ""  # id of a placement group, in hexadecimal; empty: none
    bundle: int = ANY_BUNDLE
    captures: bool = False  # what the call submits runs in the group too
    node_id: str = ""  # nowhere but on this node
    rules: tuple[LabelRule, ...] = ()


ANYWHERE = Place()


def unmet(rules: Sequence[LabelRule], labels: Mapping[str, str]) -> list[LabelRule]:
    """The rules that a node with these labels breaks."""
    return [rule for rule in rules if not rule.is_met(labels)]

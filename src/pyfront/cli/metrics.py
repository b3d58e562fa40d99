# SPDX-License-Identifier: Apache-2.0
"""`shoal metrics`: the numbers of a node and of its programs, now."""

from __future__ import annotations

import typer

from shoal.cli.render import Address, AsJson, fail, failing, print_json

LIMIT_S = 10.0  # processes are asked too, which takes a second if one is stopped


def metrics(address: Address = None, as_json: AsJson = False) -> None:
    """Metrics of the node and of its programs, as the text that Prometheus reads."""
    from shoal.node.exposition import HOW_TO_INSTALL, is_available, to_text
    from shoal.protocol.metrics import ReadMetrics
    from shoal.util.state.source import opened

    if not (as_json or is_available()):
        raise fail(f"the text of Prometheus needs prometheus-client ({HOW_TO_INSTALL}); --json needs nothing")
    with failing(), opened(address) as node:
        answer = node.ask(ReadMetrics(), LIMIT_S)
        if answer is None:
            raise fail("only the daemon has metrics, and it does not answer; `shoal status` needs no daemon")
        if as_json:
            print_json(answer.families)
        else:
            typer.echo(to_text(answer.families).decode(), nl=False)

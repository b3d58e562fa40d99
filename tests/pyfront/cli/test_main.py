# SPDX-License-Identifier: Apache-2.0
"""The command `shoal`."""

import json

import pytest
from tests.pyfront.cli.conftest import run
from typer.testing import CliRunner

import shoal
from shoal.cli import main


def test_version_names_the_release() -> None:
    result = CliRunner().invoke(main, ["version"])
    assert result.exit_code == 0
    assert f"shoal {shoal.__version__}, Python 3." in result.output
    told = json.loads(CliRunner().invoke(main, ["version", "--json"]).output)
    assert (told["shoal"], sorted(told)) == (shoal.__version__, ["machine", "python", "shoal"])


def test_without_a_command_it_tells_what_there_is() -> None:
    output = CliRunner().invoke(main, []).output
    assert "microbenchmark" in output
    assert "version" in output


def test_microbenchmark_explains_its_own_options() -> None:
    result = CliRunner().invoke(main, ["microbenchmark", "--help"])
    assert result.exit_code == 0
    assert "--filter" in result.output


@pytest.mark.parametrize("arguments", [["microbenchmark", "--no-such-option"], ["no-such-command"]])
def test_a_wrong_use_fails(arguments: list[str]) -> None:
    assert CliRunner().invoke(main, arguments).exit_code == 2


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("shoal ti", ["timeline"]),
        ("shoal list ac", ["actors"]),
        ("shoal dump --no-", ["--no-output", "--no-stacks"]),
    ],
)
def test_the_shell_completes_commands_nouns_and_options(words: str, offered: list[str]) -> None:
    asked = {"_SHOAL_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    done = CliRunner().invoke(main, [], prog_name="shoal", env=asked)
    assert sorted(done.output.split()) == offered


@pytest.mark.parametrize(("shell", "word"), [("bash", "complete -o"), ("zsh", "compdef"), ("fish", "complete ")])
def test_completion_for_each_shell_is_shown(shell: str, word: str) -> None:
    assert word in run("--show-completion", shell, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1").output

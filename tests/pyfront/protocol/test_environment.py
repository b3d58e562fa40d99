# SPDX-License-Identifier: Apache-2.0
"""An environment's key stands for all of it; its description for what may be shown."""

from shoal.protocol.environment import Environment, Install


def test_equal_environments_have_one_key_and_others_another() -> None:
    environments = [
        Environment(env_vars={"A": "1", "B": "2"}),
        Environment(env_vars={"A": "1", "B": "3"}),
        Environment(working_dir="/a"),
        Environment(py_modules=["/a"]),
        Environment(install=Install("pip", "a\n")),
        Environment(install=Install("uv", "a\n")),
        Environment(install=Install("pip", "a\n", ["--pre"])),
    ]
    assert len({environment.key() for environment in environments}) == len(environments)
    assert Environment(env_vars={"B": "2", "A": "1"}).key() == environments[0].key()


def test_a_description_shows_no_values_of_variables() -> None:
    environment = Environment(
        env_vars={"TOKEN": "secret", "A": "1"},
        working_dir="/cache/0123",
        source_dir="/home/me/code",
        py_modules=["/cache/4567"],
        install=Install("pip", "# pinned\nnumpy==2.0\n-i https://me:secret@index\nb @ https://me:secret@index/b.whl\n"),
    )
    assert (
        environment.describe()
        == "pip: numpy==2.0, b @ https://index/b.whl; working_dir: /home/me/code; py_modules: 1; env_vars: A, TOKEN"
    )

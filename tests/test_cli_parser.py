"""The command line: every command, what all have in common, and complaints of one line."""

from __future__ import annotations

import pytest

from lplr_index import __version__
from lplr_index.cli.parser import COMMANDS, parse
from lplr_index.errors import InputError

NAMES = [module.__name__.rpartition(".")[2] for module in COMMANDS]


@pytest.mark.parametrize(("name", "module"), [*zip(NAMES, COMMANDS, strict=True)])
def test_every_command_shows_help_with_its_example(name, module, capsys):
    with pytest.raises(SystemExit) as left:
        parse([name, "--help"])

    assert left.value.code == 0
    assert module.EXAMPLE in capsys.readouterr().out


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit):
        parse(["--help"])

    out = capsys.readouterr().out
    assert all(f"    {name} " in out for name in NAMES)


def test_the_version(capsys):
    with pytest.raises(SystemExit):
        parse(["--version"])

    assert capsys.readouterr().out == f"lplr-index {__version__}\n"


def test_what_all_commands_have():
    options = parse(["warmup", "--json", "--quiet"])

    assert (options.json, options.quiet) == (True, True)
    assert options.run is COMMANDS[NAMES.index("warmup")].run


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["fly"], "invalid choice: 'fly'"),
        (["demo", "--out", "x"], "unrecognized arguments: --out x"),
    ],
)
def test_complaints_are_of_one_line_and_name_the_help(given, complaint):
    with pytest.raises(InputError) as raised:
        parse(given)

    assert complaint in str(raised.value)
    assert str(raised.value).endswith("--help says more)")
    assert "\n" not in str(raised.value)

"""The commands and what their options have in common."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from lplr_index import __version__
from lplr_index.cli import advise, build, compress, convert, demo, embed, evaluate, info, report, search, verify, warmup
from lplr_index.cli.output import say
from lplr_index.errors import InputError

COMMANDS = (embed, build, search, info, verify, advise, evaluate, report, compress, convert, warmup, demo)
EXAMPLE = "lplr-index build vectors.npy -o vectors.lplr\n  lplr-index search vectors.lplr queries.npy -k 10"


class Parser(argparse.ArgumentParser):
    """A parser whose complaint is one line, as all complaints are."""

    def error(self, message: str) -> NoReturn:
        """Raise what argparse has to say as an InputError."""
        raise InputError(f"{message} ({self.prog} --help says more)")

    def _print_message(self, message: str, file: Any = None) -> None:
        """Print help and version as everything is printed, so that a pipe may close in the middle of them."""
        say([message.rstrip("\n")], file or sys.stdout)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the options of a command line, those of the process where None; ``run`` among them is the command.

    Raises
    ------
    InputError
        If there is no such command or option.
    """
    parser = Parser(
        prog="lplr-index",
        description="Compress embedding files and search them.",
        epilog=f"example:\n  {EXAMPLE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"lplr-index {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, title="commands")
    for module in COMMANDS:
        summary, *more = (module.__doc__ or "").split("\n\n")
        name = module.__name__.rpartition(".")[2]
        command = commands.add_parser(
            name,
            help=summary.rstrip("."),
            description="\n\n".join([summary, *more]),
            epilog=f"example:\n  {module.EXAMPLE}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        # A command that has kinds, each with options of its own, returns their parsers.
        for last in module.configure(command) or [command]:
            last.add_argument("--json", action="store_true", help="one JSON document on stdout, and nothing else there")
            last.add_argument("--quiet", action="store_true", help="no progress, remarks or warnings; errors only")
            last.set_defaults(run=module.run)
    return parser.parse_args(argv)

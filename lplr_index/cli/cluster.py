"""What commands that run on a Ray cluster have in common."""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
from collections.abc import Iterator

from lplr_index.cli.output import Terminal
from lplr_index.cluster.on_ray import RayMachines
from lplr_index.errors import InputError


def add_ray(parser: argparse.ArgumentParser) -> None:
    """Declare ``--ray`` and ``--workers``."""
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="do it on a Ray cluster: its address, auto for the one that runs here, local to start one on this machine",
    )
    parser.add_argument("--workers", metavar="N", type=int, help="most workers of --ray (one a processor)")


def check_ray(options: argparse.Namespace, *names: str) -> None:
    """See that options that mean something with ``--ray`` alone, ``--workers`` and ``names``, are not given without.

    Raises
    ------
    InputError
        If one is.
    """
    for name in ("workers", *names):
        if options.ray is None and getattr(options, name) is not None:
            raise InputError(f"expected --{name.replace('_', '-')} only with --ray, got it alone")


@contextlib.contextmanager
def joined(options: argparse.Namespace, terminal: Terminal) -> Iterator[RayMachines]:
    """Yield the machines of ``--ray``.

    What Ray prints of workers that it replaces is a remark: it goes to stderr, and nowhere where those are unwanted.
    """
    aside = io.StringIO() if terminal.quiet else sys.stderr
    with contextlib.redirect_stdout(aside), RayMachines(options.ray, options.workers) as machines:
        yield machines

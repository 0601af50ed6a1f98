"""Compile everything now, so that no later command or process has to.

Kernels are kept in numba's cache: where NUMBA_CACHE_DIR says, or else beside the package, or else in the user's
cache folder. numba takes them from there only in processes that may write there too.
"""

from __future__ import annotations

import argparse

from lplr_index.cli.output import Terminal
from lplr_index.compiling import warmup

EXAMPLE = "lplr-index warmup"


def configure(_parser: argparse.ArgumentParser) -> None:
    """Declare no options: there is nothing to choose."""


def run(_options: argparse.Namespace, terminal: Terminal) -> None:
    """Compile, and say where it is kept."""
    with terminal.bars("steps") as bars:
        done = warmup(bars)
    text = "{cache}: {compiled} kernels compiled for {instruction_set} in {seconds:.1f} s, {loaded} were there".format
    terminal.done(done._asdict(), [text(**done._asdict())])

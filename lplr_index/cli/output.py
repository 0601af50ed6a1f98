"""What the command says, and where: results to stdout, everything else to stderr, each remark on one line."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from lplr_index.atomic import check_writable
from lplr_index.cli.progress import Bars
from lplr_index.errors import InputError, WriteError


class Terminal:
    """The two streams of a command.

    Attributes
    ----------
    json : bool
        Results are one JSON document.
    quiet : bool
        Nothing is said but results and errors.
    """

    def __init__(self, *, json: bool = False, quiet: bool = False) -> None:
        self.json = json
        self.quiet = quiet

    def result(self, document: Mapping[str, Any], text: Iterable[str]) -> None:
        """Say what was asked for: the document as JSON, or the lines of text."""
        self.lines(text)
        self.document(document)

    def lines(self, text: Iterable[str]) -> None:
        """Say a part of what was asked for, unless it is to be JSON."""
        if not self.json:
            say(text, sys.stdout)

    def document(self, document: Mapping[str, Any]) -> None:
        """Say all of what was asked for, if it is to be JSON."""
        if self.json:
            say([json.dumps(document, allow_nan=False)], sys.stdout)

    def done(self, document: Mapping[str, Any], text: Iterable[str]) -> None:
        """Say what became of a command whose result is a file, which ``quiet`` need not know."""
        self.result(document, [] if self.quiet else text)

    def warn(self, message: str) -> None:
        """Say what the user may not expect."""
        if not self.quiet:
            say([f"warning: {_one_line(message)}"], sys.stderr)

    def error(self, message: str) -> None:
        """Say why there is no result."""
        say([f"error: {_one_line(message)}"], sys.stderr)

    def bars(self, unit: str = "rows") -> Bars:
        """Bars to count some unit with, in a ``with`` block; invisible unless stderr is a terminal."""
        return Bars(visible=not self.quiet and sys.stderr.isatty(), unit=unit)

    @contextlib.contextmanager
    def warnings_as_lines(self) -> Iterator[None]:
        """Say warnings of the library in the voice of the command when the block has ended well.

        Where it has not, there is one thing to say, and that is the error.
        """
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            yield
        for each in caught:
            self.warn(str(each.message))


def say(lines: Iterable[str], stream: TextIO) -> None:
    """Print lines, with escapes for what the stream cannot show; the only place that prints.

    Raises
    ------
    BrokenPipeError
        If nobody reads the stream any more.
    WriteError
        If it cannot be written for another reason.
    """
    encoding = stream.encoding or "utf-8"
    try:
        for line in lines:
            print(line.encode(encoding, "backslashreplace").decode(encoding), file=stream)
        stream.flush()
    except OSError as err:
        _silence(stream)
        if isinstance(err, BrokenPipeError):
            raise
        raise WriteError(f"cannot write to {stream.name}: {err.strerror or err}") from err


def _silence(stream: TextIO) -> None:
    """Let what is left of a broken stream go nowhere, or Python complains when it flushes it at the end."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _one_line(message: str) -> str:
    return " ".join(message.splitlines())


def check_output(path: str, *inputs: str | None) -> None:
    """Find out before the work whether its result can be written, and would not replace what it is made from.

    Raises
    ------
    WriteError
        If the file cannot be written.
    InputError
        If it is one of the inputs, or in a folder or matched by a pattern that is one.
    """
    check_writable(path)
    if Path(path).exists() and any(Path(path).samefile(file) for each in inputs if each for file in _files(each)):
        raise InputError(f"expected an output other than the input, got {path} for both")


def _files(path: str) -> Iterator[Path]:
    """Yield what an input path, folder or pattern stands for, as far as it exists."""
    for name in [path] if Path(path).exists() else glob.glob(path, recursive=True):  # noqa: PTH207 - as open_vectors
        yield from Path(name).iterdir() if Path(name).is_dir() else [Path(name)]


@contextlib.contextmanager
def output_folder(path: str) -> Iterator[Path]:
    """Yield a folder that can be written into, made where there is none; empty ones made here go if the block raises.

    Raises
    ------
    WriteError
        If it cannot be made or written into.
    """
    folder = Path(path)
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        check_writable(folder / "probe")
        yield folder
    except BaseException as err:
        with contextlib.suppress(OSError):
            for each in made:
                each.rmdir()
        if isinstance(err, OSError) and not isinstance(err, WriteError):
            raise WriteError(f"cannot write {path}: {err.strerror or err}") from err
        raise

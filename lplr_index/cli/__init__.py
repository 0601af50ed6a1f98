"""The command ``lplr-index``.

``parser`` knows the commands, each of which is a module with ``configure``, its options, and ``run``;
``output`` and ``progress`` are all they have to do with a terminal.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator, Sequence

from lplr_index.cli.output import Terminal
from lplr_index.cli.parser import parse
from lplr_index.errors import LPLRError

BAD_INPUT = 2
INTERRUPTED = 128 + signal.SIGINT
BROKEN_PIPE = 128 + 13  # SIGPIPE, which Windows has no name for


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments after the name of the program; those of the process where None.

    Returns
    -------
    int
        The exit status: 0; 2 for input that cannot be used, after one line on stderr that says why;
        130 after Ctrl-C, 141 where nobody reads the output to its end.
    """
    terminal = Terminal()
    try:
        with _leaving_by_the_door(), terminal.warnings_as_lines():
            options = parse(argv)
            terminal.json, terminal.quiet = options.json, options.quiet
            options.run(options, terminal)
    except SystemExit as leave:  # argparse after --help, or a signal
        return int(leave.code or 0)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        return BROKEN_PIPE
    except LPLRError as err:
        terminal.error(str(err))
    except OSError as err:
        terminal.error(f"cannot read {err.filename}: {err.strerror}" if err.filename else str(err))
    except MemoryError as err:
        terminal.error(f"not enough memory: {err}" if str(err) else "not enough memory")
    else:
        return 0
    return BAD_INPUT


@contextlib.contextmanager
def _leaving_by_the_door() -> Iterator[None]:
    """Make the signals that end a process unwind it first, so that no temporary file stays behind."""
    endings = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    fatal = [number for number in endings if signal.getsignal(number) == signal.SIG_DFL]
    if threading.current_thread() is not threading.main_thread():
        fatal = []  # no other thread may handle signals
    for number in fatal:
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))
    try:
        yield
    finally:
        for number in fatal:
            signal.signal(number, signal.SIG_DFL)

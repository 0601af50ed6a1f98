"""One writer: a lock on a file, which the kernel takes back from a process that dies."""

from __future__ import annotations

import json
import os
import time
import weakref
from pathlib import Path

from lplr_index.errors import LockedError, UnsupportedError, WriteError


class WriterLock:
    """The lock of a store's writer, taken; a forked child does not have it.

    Parameters
    ----------
    path : Path
        The file that is locked, made where there is none. It stays, and says who had the lock last.

    Raises
    ------
    LockedError
        If another store, of this process or of another, has the lock: the message says who and since when.
    WriteError
        If the file cannot be opened for writing.
    UnsupportedError
        On systems without ``flock``.
    """

    def __init__(self, path: Path) -> None:
        try:
            import fcntl
        except ImportError as err:
            raise UnsupportedError(
                "expected a system with flock, such as Linux or macOS, to write a store on, got another: "
                "read_only=True opens one to search"
            ) from err
        self.pid = os.getpid()
        try:
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as err:
            raise WriteError(f"cannot write {path}: {err.strerror or err}") from err
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(self._handle, 0)
            os.pwrite(self._handle, json.dumps({"pid": self.pid, "since": _now()}).encode(), 0)
        except BlockingIOError as err:
            holder = _holder(self._handle)
            os.close(self._handle)
            raise LockedError(f"expected to be the only writer of {path.parent}, got one already: {holder}") from err
        except OSError as err:
            os.close(self._handle)
            raise WriteError(f"cannot lock {path}: {err.strerror or err}") from err

        self.release = weakref.finalize(self, os.close, self._handle)
        """Let others write. In a forked child only its copy of the handle is closed: the parent keeps the lock."""


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


def _holder(handle: int) -> str:
    """Who has the lock, as far as the file says."""
    try:
        said = json.loads(os.pread(handle, 1024, 0))
        return f"process {int(said['pid'])} since {said['since']}"
    except (OSError, ValueError, TypeError, KeyError):
        return "another process"  # which has the lock, and has not written yet who it is

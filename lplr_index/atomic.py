"""Writing a file, or a folder of files, so that it is either there as a whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from lplr_index.errors import LPLRError, WriteError


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Yield a binary file, open for reading and writing, that becomes ``path`` when the block ends well.

    The bytes go to a hidden temporary file in the same folder, are forced to the disk, and take the place of ``path``
    in one step. If the block raises, the temporary file is removed and whatever ``path`` held stays as it was.
    A link is followed: the file it points to is replaced. The permissions of a file that is replaced are kept.

    Parameters
    ----------
    path : str or os.PathLike
        The file to create or replace. Its folder must exist.

    Raises
    ------
    WriteError
        If the folder is missing or not writable, ``path`` is not a regular file, or the disk refuses the bytes.
        An OSError raised inside the block counts as such a refusal; every other exception passes through.
    """
    target = _target(path)
    temporary = _temporary(target)
    try:
        # Not tempfile: its files are readable by their owner only, and the finished file would stay so.
        with temporary.open("x+b") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        if target.exists():
            shutil.copymode(target, temporary)
        temporary.replace(target)
        sync_folder(target.parent)
    except WriteError:
        raise
    except OSError as err:
        raise WriteError(f"cannot write {path}: {err.strerror or err}") from err
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


@contextlib.contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a hidden folder beside ``path`` that takes this name, in one step, when the block ends well.

    The files in it are for the block to force to the disk, as ``atomic_write`` does. If the block raises, the folder
    goes, and everything in it.

    Parameters
    ----------
    path : str or os.PathLike
        The folder to make. There must be nothing of this name: a folder cannot take the place of another in one step.

    Raises
    ------
    WriteError
        If there is something, the folder around it is missing or not writable, or the name cannot be given.
    """
    target = Path(os.path.abspath(os.fspath(path)))  # noqa: PTH100 - no link is followed: nothing may be there
    check_new(target)
    temporary = _temporary(target)
    try:
        temporary.mkdir()
        yield temporary
        sync_folder(temporary)
        check_new(target)  # an empty folder would be replaced
        temporary.rename(target)
        sync_folder(target.parent)
    except LPLRError:  # WriteError, or what the block has to say itself
        raise
    except OSError as err:
        raise WriteError(f"cannot write {path}: {err.strerror or err}") from err
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_new(path: str | os.PathLike[str]) -> None:
    """Find out now whether ``atomic_folder`` could begin.

    Parameters
    ----------
    path : str or os.PathLike
        The folder to make later. Nothing is left in the folder around it.

    Raises
    ------
    WriteError
        If there is something of this name, or the folder around it is missing or not writable.
    """
    if os.path.lexists(path):
        raise WriteError(f"cannot write {path}: expected a name that is free for a folder, got one that is taken")
    check_writable(path)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Find out now whether ``atomic_write`` could begin, before the long work whose result it is to hold.

    Parameters
    ----------
    path : str or os.PathLike
        The file to create or replace later. Nothing is left in its folder.

    Raises
    ------
    WriteError
        If the folder is missing or not writable, or ``path`` is not a regular file.
    """
    temporary = _temporary(_target(path))
    try:
        temporary.open("xb").close()
        temporary.unlink()
    except OSError as err:
        raise WriteError(f"cannot write {path}: {err.strerror or err}") from err


def _temporary(target: Path) -> Path:
    # The name owes nothing to the target's, which may already be as long as the file system allows.
    return target.with_name(f".{secrets.token_hex(8)}.tmp")


def _target(path: str | os.PathLike[str]) -> Path:
    try:
        target = Path(os.path.realpath(os.fspath(path)))
        if not target.parent.is_dir():
            raise WriteError(f"cannot write {path}: there is no folder {target.parent}")
        # Renaming over a device such as /dev/null would replace the device.
        if target.exists() and not target.is_file():
            raise WriteError(f"cannot write {path}: it is there and is not a regular file")
    except (TypeError, ValueError) as err:  # not a path, or one with a zero byte in it
        raise WriteError(f"cannot write {path!r}: {err}") from err
    return target


def sync_folder(folder: Path) -> None:
    """Force the new name to the disk, on systems where a folder can be opened for that."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    # Some network file systems refuse to sync a folder. The file itself is on the disk by now.
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

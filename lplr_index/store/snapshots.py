"""A copy of a store as it is at one moment: links to files that never change, and the journal as far as it goes."""

from __future__ import annotations

import os
import secrets
import shutil
from dataclasses import replace
from pathlib import Path

from lplr_index.atomic import atomic_write, sync_folder
from lplr_index.errors import LPLRError, WriteError
from lplr_index.store.contents import Contents
from lplr_index.store.folder import naming, publish
from lplr_index.store.journal import read_from


def take(folder: Path, contents: Contents, end: int, target: Path) -> None:
    """Write the store that ``contents`` and a journal of ``end`` bytes are to a folder that is not there yet.

    Raises
    ------
    WriteError
        If it cannot be written, or is there.
    MissingFileError
        If a file of the store is not there, or no longer.
    """
    if target.exists() or not target.parent.is_dir():
        why = "it is there already" if target.exists() else f"there is no folder {target.parent}"
        raise WriteError(f"cannot write {target}: {why}")
    temporary = target.with_name(f".{secrets.token_hex(8)}.tmp")
    manifest = replace(contents.manifest, segments=tuple(each.entry for each in contents.held))
    try:
        temporary.mkdir()
        for name in manifest.names - {manifest.journal}:
            with naming(folder, name):
                _link(folder / name, temporary / name)
        with naming(folder, manifest.journal):
            journal = read_from(folder / manifest.journal, 0)[:end]
        with atomic_write(temporary / manifest.journal) as stream:
            stream.write(journal)
        publish(temporary, manifest)
        temporary.rename(target)
        sync_folder(target.parent)
    except LPLRError:
        raise
    except OSError as err:
        raise WriteError(f"cannot write {target}: {err.strerror or err}") from err
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _link(source: Path, target: Path) -> None:
    """Give a file a second name, or, where the file system has none, a copy."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        with source.open("rb") as original, atomic_write(target) as copy:
            shutil.copyfileobj(original, copy)

"""A copy of a store as it is at one moment: links to files that never change, and the journal as far as it goes."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

from lplr_index.atomic import atomic_folder, atomic_write
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
    manifest = replace(contents.manifest, segments=tuple(each.entry for each in contents.held))
    with atomic_folder(target) as temporary:
        for name in manifest.names - {manifest.journal}:
            with naming(folder, name):
                _link(folder / name, temporary / name)
        with naming(folder, manifest.journal):
            journal = read_from(folder / manifest.journal, 0)[:end]
        with atomic_write(temporary / manifest.journal) as stream:
            stream.write(journal)
        publish(temporary, manifest)


def _link(source: Path, target: Path) -> None:
    """Give a file a second name, or, where the file system has none, a copy."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        with source.open("rb") as original, atomic_write(target) as copy:
            shutil.copyfileobj(original, copy)

"""Every byte of a store read and compared, and what files say of each other."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from lplr_index.errors import FormatError, HeaderError
from lplr_index.store import merging
from lplr_index.store.contents import Contents, load, open_live, open_segment
from lplr_index.store.folder import MANIFEST, naming, parsed, read_manifest, read_model_of
from lplr_index.store.following import read_journal
from lplr_index.store.listed import arrangement_of
from lplr_index.store.manifest import Manifest

_TRIES = 100  # manifests that may be replaced while one of them is being verified


def verify(folder: Path) -> list[FormatError]:
    """What is wrong with a store, a file at a time; nothing where it is whole.

    Every checksum is compared, every id is there once, every segment is of the one training, and the journal can be
    done. The store may be written meanwhile: what is read is one state of it.

    Raises
    ------
    FileNotFoundError
        If there is no folder.
    """
    left = _TRIES
    while True:
        left -= 1
        try:
            data = read_manifest(folder)
            wrong = list(_all(folder, parsed(folder, data)))
        except FormatError as err:
            return [err]
        # A merge may have removed what this manifest names: then there is another by now.
        if not wrong or not left or read_manifest(folder) == data:
            return wrong


def _all(folder: Path, manifest: Manifest) -> Iterator[FormatError]:
    try:
        arrangement = arrangement_of(manifest.settings, read_model_of(folder, manifest))
    except FormatError as err:
        yield err
        return
    whole = True
    for entry in manifest.segments:
        for look in (
            partial(open_segment, folder, manifest, arrangement, entry, whole=True),
            partial(open_live, folder, entry),
        ):
            try:
                look()
            except FormatError as err:
                whole = False
                yield err
    try:
        contents, _ = load(folder, manifest, None, skip_damaged=True)
        read_journal(folder, contents, 0)
        if whole:
            with naming(folder, MANIFEST):
                _check_ids(contents)
    except FormatError as err:
        yield err


def _check_ids(contents: Contents) -> None:
    """Raise HeaderError unless every id is there once, and none is above those that were given."""
    recent = contents.recent.part()
    numbers = np.sort(recent.numbers.part(0, recent.n)[recent.living()])
    for run in merging.runs([each.part for each in contents.held]):
        again = run[1:][np.diff(run) == 0]
        if len(again) or np.isin(run, numbers).any():
            raise HeaderError(f"expected every id once, got one from {run[0]} to {run[-1]} twice")
        if run[-1] >= contents.next_id:
            raise HeaderError(f"expected ids below {contents.next_id}, got {run[-1]}")
    if contents.strings:
        _check_names(contents)


def _check_names(contents: Contents) -> None:
    """Raise HeaderError unless every name is that of one row that lives."""
    view = contents.view()
    for part in view.parts:
        rows = np.flatnonzero(part.living())
        if part.names is None:
            continue
        for start in range(0, len(rows), 1 << 16):
            some = rows[start : start + (1 << 16)]
            names = part.names.of(some)
            found = contents.numbers_of(names)
            if not np.array_equal(found, part.numbers.of(some)):
                raise HeaderError("expected every id once, got a string twice")

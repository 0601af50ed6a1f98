"""A store made by many: segments that workers wrote become one in one step, if one training made all their codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lplr_index.arrays import ByteMatrix, IdArray
from lplr_index.errors import InputError
from lplr_index.index import IndexLPLR
from lplr_index.ivf import IndexIVFLPLR
from lplr_index.store import folder as files
from lplr_index.store.journal import new_journal
from lplr_index.store.listed import arrangement_of
from lplr_index.store.manifest import Entry, Manifest
from lplr_index.store.segments import Contained, map_file, write_segment

_JOURNAL, _FIRST = 1, 2  # serial numbers, of which a store gives every file another


@dataclass(frozen=True)
class Written:
    """A segment that a worker wrote.

    Attributes
    ----------
    entry : Entry
        As the manifest will have it.
    training : str
        ``Model.digest`` of what made its codes.
    last : int
        Its largest id.
    """

    entry: Entry
    training: str
    last: int


def write_rows(folder: Path, number: int, index: IndexLPLR, codes: ByteMatrix, ids: IdArray) -> Written:
    """Write the segment of a slice; written twice, it is the same bytes under the same name.

    Parameters
    ----------
    folder : Path
        Where to.
    number : int
        Of the slice.
    index : IndexLPLR
        What made the codes.
    codes : ndarray of shape (n, sa_code_size), uint8
        At least one row.
    ids : ndarray of shape (n,), int64
        Distinct; a segment has its rows in their order.

    Raises
    ------
    WriteError
        If it cannot be written.
    """
    if (np.diff(ids) < 0).any():
        order = np.argsort(ids)
        codes, ids = codes[order], ids[order]
    first, last = int(ids[0]), int(ids[-1])
    arrangement = arrangement_of(index.settings, index.model)
    what = Contained(len(ids), first, last, [ids], arrangement.sections(codes), None)
    stamp = write_segment(folder, files.file_name("segment", _FIRST + number), arrangement, what)
    return Written(Entry(stamp, len(ids)), index.model.digest, last)


def publish_store(folder: Path, index: IndexLPLR, written: Sequence[Written]) -> Manifest:
    """Make a store of segments that lie in a folder, in this order; what else workers left there is removed.

    Parameters
    ----------
    folder : Path
        The folder.
    index : IndexLPLR
        What they share: settings and model.
    written : sequence of Written
        The segments.

    Raises
    ------
    InputError
        If one of them was made by another training than that of the index.
    FormatError
        If one of them is not there as it was written.
    WriteError
        If the folder cannot be written.
    """
    digest = index.model.digest
    for each in written:
        name = each.entry.file.name
        if each.training != digest:
            raise InputError(
                f"expected segments of the training {digest} to merge, got {name} of {each.training}, "
                "whose codes mean something else"
            )
        with files.naming(folder, name):
            map_file(folder, each.entry.file)
    journal, nlist = files.file_name("journal", _JOURNAL), index.nlist if isinstance(index, IndexIVFLPLR) else 0
    new_journal(folder / journal)
    manifest = Manifest(
        generation=1,
        settings=index.settings,
        ids="int",
        digest=digest,
        model=files.write_model(folder, files.index_of(index.settings, nlist, index.model)),
        journal=journal,
        segments=tuple(each.entry for each in written),
        next_id=1 + max(each.last for each in written),
        serial=_FIRST + len(written) - 1,
        nlist=nlist,
    )
    files.publish(folder, manifest)
    files.sweep(folder, manifest)
    return manifest

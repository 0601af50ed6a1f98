"""A store of the vectors in a file: trained once on what all slices gave, filled slice by slice.

What training needs of a slice is its number of rows and those of its rows that the sample takes. Both are associative:
counts add up, and the rows of neighbouring slices follow each other. Which rows the sample takes is drawn from their
number alone, before any is read, so it is the sample that one process would draw; the mean, the second moments and
all else are computed from the sample, in one place and in its order.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import ByteMatrix, FloatMatrix, IdArray, as_integer
from lplr_index.atomic import atomic_folder
from lplr_index.building import Progress, ZeroRows, check_rows, silent_about_zeros
from lplr_index.cluster.machines import Here, Machines
from lplr_index.cluster.publishing import Written, publish_store, write_rows
from lplr_index.cluster.slices import SLICE_ROWS, Slice, Source, cut
from lplr_index.errors import InputError
from lplr_index.index import IndexLPLR
from lplr_index.refine import AnyIndex
from lplr_index.storage import deserialize_index, serialize_index
from lplr_index.store.manifest import Manifest
from lplr_index.training import TRAIN_ROWS
from lplr_index.vectors import VectorFile
from lplr_index.vectors.base import chunk_rows, draw_rows

_SHARES = 4  # of the sample, for each worker: small enough to show progress, too few to matter


class Encoded(NamedTuple):
    """What a slice became: its segment, and its rows of length zero."""

    written: Written
    zeros: ZeroRows


def build_store(
    source: VectorFile,
    index: AnyIndex,
    path: str | os.PathLike[str],
    *,
    machines: Machines | None = None,
    key: str | None = None,
    ids: npt.ArrayLike | None = None,
    train_rows: int = TRAIN_ROWS,
    slice_rows: int = SLICE_ROWS,
    progress: Progress | None = None,
) -> Manifest:
    """Build a store of the rows of a file, as ``build_index`` builds an index of them: the same codes, bit by bit.

    The store appears when it is whole, in one step. How many workers there are, and which of them were lost and
    replaced, shows nowhere in it; ``slice_rows`` shows in how many segments it has.

    Parameters
    ----------
    source : VectorFile
        Open here, at a path that every machine can open too.
    index : IndexLPLR
        Empty; trained by this unless it is trained, and still empty afterwards.
    path : str or os.PathLike
        The folder to make, where every machine can write it. There must be nothing of this name.
    machines : Machines, optional
        Where the work is done; in this process where None.
    key : str, optional
        With which ``source`` was opened.
    ids : array_like of shape (n,), optional
        Ids of the rows; counted from zero where None.
    train_rows : int
        Rows to train on, as in ``build_index``.
    slice_rows : int
        Rows of a slice: what one worker encodes at a time, and one segment holds.
    progress : callable, optional
        Called with ``"sampling"``, ``"training"`` or ``"adding"``, the rows done and their total.

    Raises
    ------
    InputError
        If an argument is wrong, or the index has a second stage or rows; nothing has been read then.
    VectorFileError
        If the files cannot be read, are not the same on all machines, or hold NaN or infinity.
    WriteError
        If the folder cannot be made; nothing of it stays.
    ClusterError
        If workers failed more often than they are replaced; nothing of the folder stays.
    """
    if not isinstance(index, IndexLPLR):
        raise InputError(f"expected an index without a second stage to build a store, got {type(index).__name__}")
    if index.ntotal:
        raise InputError(f"expected an empty index to build a store, got one that holds {index.ntotal} rows")
    numbers = check_rows(source, index, ids)
    size = min(source.n, as_integer(train_rows, "train_rows", least=1, most=TRAIN_ROWS))
    machines, report = machines or Here(), progress or _ignore
    slices, wanted = cut(source.n, slice_rows), Source.of(source, key)
    with atomic_folder(path) as folder:
        if not index.is_trained:
            sample = [gather(wanted, draw_rows(wanted.n, size, index.settings.seed), machines, report)]
            report("training", 0, 0)
            with silent_about_zeros():
                index.train(sample.pop())
        encoded = _encode_all(wanted, index, folder, slices, numbers, machines, report)
        manifest = publish_store(folder, index, [each.written for each in encoded])
    if index.metric == "cosine":
        sum((each.zeros for each in encoded), ZeroRows()).warn(source.path, stacklevel=2)
    return manifest


def gather(source: Source, rows: IdArray, machines: Machines, report: Progress) -> FloatMatrix:
    """The rows of these numbers (size,), ascending, as (size, d): every worker reads a run of them."""
    share = max(1, -(-len(rows) // (_SHARES * machines.workers)))
    calls = [(rows[start : start + share],) for start in range(0, len(rows), share)]
    sample, done = np.empty((len(rows), source.d), np.float32), 0
    report("sampling", done, len(rows))
    for number, part in machines.map(take_rows, source, calls):
        sample[number * share : number * share + len(part)] = part
        done += len(part)
        report("sampling", done, len(rows))
    return sample


def take_rows(source: Source, rows: IdArray) -> FloatMatrix:
    """The rows of these numbers (size,), ascending, as (size, d)."""
    with source.open() as file:
        return file.take(rows)


def encode_slice(shared: tuple[bytes, Source, str], number: int, start: int, stop: int, ids: IdArray | None) -> Encoded:
    """Encode rows ``start`` to ``stop`` and write their segment: a pure function of a training and rows.

    Parameters
    ----------
    shared : tuple of bytes, Source, str
        The trained index without rows, as ``serialize_index`` gives it; the vectors; the folder to write into.
    number, start, stop : int
        The number of the slice, and its rows.
    ids : ndarray of shape (stop - start,), int64, or None
        Ids of the rows; their numbers where None.
    """
    trained, source, folder = shared
    index, zeros = deserialize_index(trained), ZeroRows()
    codes: list[ByteMatrix] = []
    if not isinstance(index, IndexLPLR):
        raise InputError(f"expected the bytes of an IndexLPLR, got those of {type(index).__name__}")
    with source.open() as file, silent_about_zeros():
        size = chunk_rows(source.d)
        for at in range(start, stop, size):
            end = min(at + size, stop)
            rows = file.read(at, end)
            zeros += ZeroRows.among(range(at, end), rows)
            codes.append(index.sa_encode(rows, threads=1))  # of as many tasks as there are processors
    numbers = np.arange(start, stop) if ids is None else ids
    return Encoded(write_rows(Path(folder), number, index, np.concatenate(codes), numbers), zeros)


def _encode_all(
    source: Source,
    index: IndexLPLR,
    folder: Path,
    slices: list[Slice],
    ids: IdArray | None,
    machines: Machines,
    report: Progress,
) -> list[Encoded]:
    """Have all slices encoded, each by whoever is free."""
    shared = (serialize_index(index).tobytes(), source, str(folder))
    calls = [
        (number, each.start, each.stop, None if ids is None else ids[each.start : each.stop])
        for number, each in enumerate(slices)
    ]
    found: dict[int, Encoded] = {}
    done = 0
    report("adding", done, source.n)
    for number, encoded in machines.map(encode_slice, shared, calls):
        found[number] = encoded
        done += encoded.written.entry.rows
        report("adding", done, source.n)
    return [found[number] for number in range(len(slices))]


def _ignore(_stage: str, _done: int, _total: int) -> None:
    """Stand in for a progress that nobody wants to know."""

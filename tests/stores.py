"""What tests of the store share: small stores, the index they must equal, and damage."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from indexes import D_SMALL, in_lists, queries, rows, trained, training_rows
from lplr_index import IndexIVFLPLR, open_store
from lplr_index.coarse import Coarse
from lplr_index.store import merging

FLUSH_ROWS = 64  # rows of a journal, where tests want many segments
NLIST = 12
LISTS = (None, NLIST)  # of a flat store, and of one with lists


@contextlib.contextmanager
def plain_lists():
    """Make lists around the first rows of what they are trained on, as ``in_lists`` does: quickly, without faiss."""

    def train(x, nlist, metric, _seed):
        return Coarse(x[:nlist].copy(), metric)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Coarse, "train", train)
        yield


def small(path, kind="int", *, metric="cosine", bits=2.0, trains=True, **options):
    """Return a new store of 48 dimensions, which knows its data unless it is to learn them."""
    options.setdefault("train_rows", None)
    store = open_store(path, D_SMALL, bits, metric, ids=kind, **options)
    if trains:
        with plain_lists():
            store.train(training_rows())
    return store


def twin(metric="cosine", kind="auto-2", nlist=None):
    """Return the index that such a store must equal."""
    return in_lists(metric, nlist=nlist) if nlist else trained(metric, kind)


@cache
def _made(kind, nlist):
    """Return the files of a store with some segments, dead rows in them, and a journal."""
    folder = Path(tempfile.mkdtemp()) / "store"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(merging, "FLUSH_ROWS", FLUSH_ROWS)
        patch.setattr(merging, "FAN", 1000)
        with small(folder, kind, nlist=nlist, background=False) as store:
            for start in range(0, 200, 20):
                store.add(rows(200)[start : start + 20], names(range(start, start + 20), kind))
            store.delete(names([3, 70, 71], kind))
            store.add(rows(330)[200:330], names(range(200, 330), kind))
            store.upsert(rows(3)[:2], names([5, 199], kind))
            store.delete(names([150, 329], kind))
            assert store.info()["segments"] > 1
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    shutil.rmtree(folder.parent)
    return files


def written(path, kind="int", nlist=None):
    """Write a store with some segments, dead rows in them, and a journal; return its folder."""
    path.mkdir()
    for name, data in _made(kind, nlist).items():
        (path / name).write_bytes(data)
    return path


def written_twin(nlist=None):
    """Return the index that ``written`` equals."""
    index = twin(nlist=nlist)
    index.add(rows(330))
    index.remove_ids([3, 70, 71, 150, 329, 5, 199])
    index.add_with_ids(rows(3)[:2], [5, 199])
    return index


def names(ids, kind):
    """Return ids as a store of this kind has them."""
    return [f"row {i}" for i in ids] if kind == "str" else list(ids)


def file_of(folder, kind):
    """Return the last file of a kind: segment, live, journal or model."""
    return max(folder.glob(f"{kind}-*"))


def flip(path, place):
    """Change one bit of a file; a place below zero counts from the end."""
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.unlink()  # who has mapped the old file keeps it
    path.write_bytes(data)


def assert_same_results(store, index, k=700):
    """Compare a store with the index of the same rows, bit for bit."""
    assert store.ntotal == len(store) == index.ntotal
    lists = isinstance(index, IndexIVFLPLR)
    assert store.nlist == (index.nlist if lists else 0)
    for how in [{"nprobe": nprobe} for nprobe in (1, 3, 99)] if lists else [{}]:
        for few in (k, 5):
            for actual, expected in zip(
                store.search(queries(), few, **how), index.search(queries(), few, **how), strict=True
            ):
                np.testing.assert_array_equal(actual, expected)
        radius = 2.0 if index.metric == "l2" else 0.3
        lims, D, I = index.range_search(queries(), radius, **how)
        by_id = np.concatenate([np.lexsort((I[a:b],)) + a for a, b in pairwise(lims)])
        for actual, expected in zip(
            store.range_search(queries(), radius, **how), (lims, D[by_id], I[by_id]), strict=True
        ):
            np.testing.assert_array_equal(actual, expected)
    ids = np.sort(index.rows.ids.all())
    np.testing.assert_array_equal(store.reconstruct_batch(ids), index.reconstruct_batch(ids))
